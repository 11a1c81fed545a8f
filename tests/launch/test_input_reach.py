"""A worker takes only a run whose data it can get, and does not ask the store each time that it looks."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support.records import new_run

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.launch.inputs.fetch_input import materialise
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.launch.workers import input_reach
from orchestrator.launch.workers.box_fit import as_queued
from orchestrator.launch.workers.input_reach import InputReach
from orchestrator.record.run_record import Queued
from orchestrator.record.store import answer_limit
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


def test_an_answer_that_was_late_is_there_for_the_next_look(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    come = threading.Event()
    monkeypatch.setattr(answer_limit, "ANSWER", 0.01)
    monkeypatch.setattr(session.store, "has", lambda digest: come.wait(30))
    reach, run = InputReach(session), queued(Digest.of(b"x"))
    with pytest.raises(StoreError, match="does not answer"):
        reach.lacking(run)
    come.set()
    for thread in reach._limit._late:
        thread.join()
    monkeypatch.setattr(session.store, "has", None)  # not asked again
    assert reach.lacking(run) == []


def test_a_folder_that_hangs_holds_no_worker(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    come, exists, away = threading.Event(), Path.exists, tmp_path / "away"
    monkeypatch.setattr(answer_limit, "ANSWER", 0.01)
    monkeypatch.setattr(Path, "exists", lambda path: come.wait(30) if path == away else exists(path))
    stored, reach = session.store.put_bytes(b"stored"), InputReach(session)
    monkeypatch.setattr(reach, "_is_stored", session.store.has)  # however slow this machine is
    try:
        assert reach.lacking(queued(stored, str(away))) == []
        assert reach.lacking(queued(Digest.of(b"x"), str(away))) == ["data"]
    finally:
        come.set()
