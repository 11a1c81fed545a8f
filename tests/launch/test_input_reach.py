"""A worker takes only a run whose data it can get, and does not ask the store each time that it looks."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.records import new_run

from orchestrator.digest import Digest
from orchestrator.launch.inputs.fetch_input import materialise
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.launch.workers import input_reach
from orchestrator.launch.workers.box_fit import as_queued
from orchestrator.launch.workers.input_reach import InputReach
from orchestrator.record.run_record import Queued
from orchestrator.spec.program import Program


def queued(digest: Digest, path: str | None = None) -> Queued:
    program = Program(name="job", command=("python",), inputs={"data": digest})
    return as_queued(new_run(program=program, input_paths={"data": path} if path else {}), 0)


def test_a_path_the_cache_or_the_store_will_do(session: Session, tmp_path: Path) -> None:
    reach = InputReach(session)
    nowhere = queued(Digest.of(b"nowhere"), str(tmp_path / "nowhere"))
    assert reach.lacking(nowhere) == reach.absent_from_store(nowhere) == ["data"]
    assert reach.lacking(queued(Digest.of(b"x"), "no\0path")) == ["data"]
    assert reach.lacking(queued(Digest.of(b"there"), str(tmp_path))) == []
    stored = session.store.put_bytes(b"stored")
    assert reach.lacking(queued(stored)) == []
    materialise(session, stored, Silent())
    session.store.remove(stored, session.store.now().replace(year=2100))
    assert not session.store.has(stored)
    assert InputReach(session).lacking(queued(stored)) == []


def test_the_store_is_asked_again_only_after_a_while(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Digest] = []
    monkeypatch.setattr(session.store, "has", lambda digest: asked.append(digest) or len(asked) > 1)
    reach, run = InputReach(session), queued(Digest.of(b"x"))
    assert [reach.lacking(run) for _ in range(3)] == [["data"]] * 3
    assert len(asked) == 1
    monkeypatch.setattr(input_reach, "AGAIN", -1)
    assert reach.lacking(run) == []
    monkeypatch.setattr(input_reach, "AGAIN", 15)
    assert reach.lacking(run) == []
    assert len(asked) == 2
