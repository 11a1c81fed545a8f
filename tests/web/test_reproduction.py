"""A rerun beside its original: what cannot be read now is said, and is not kept for the next time."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from support.records import finish_run, new_run
from support.running_run import HEADER, step_lines
from support.web_fixtures import Site

from orchestrator.digest import Digest
from orchestrator.launch.session import Session
from orchestrator.record.record import Record
from orchestrator.run.attempt_model import TraceFile
from orchestrator.web.pages import reproduction


def rerun_in(record: Record, **result: Any) -> str:
    """A rerun whose original gave the same result."""
    first = finish_run(record, new_run(seed=1, image="a"), box="b0", **result)
    return finish_run(record, new_run(seed=1, image="a", rerun_of=first), box="b0", **result)


def test_a_trace_that_is_away_is_said_and_looked_for_again(empty_site: Site, record: Record) -> None:
    lines = [HEADER, {"table": 0, "of": "SGD", "tensors": [["w", "float32[2]"]]}, *step_lines(0, 0.5)]
    data = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
    facts = {"rank": 0, "world": 1, "pid": 7, "digest": Digest.of(data), "size": len(data)}
    trace = TraceFile(**facts, steps=1, events=4, complete=False)
    path = f"/runs/{rerun_in(record, traces=(trace,))}/reproduction"
    page = empty_site.server.ask(path)
    assert page.status == 200
    assert "is not in the store" in page.text
    assert "nothing was traced" not in page.text, "both were traced"
    with Session(empty_site.server.settings) as session:
        session.store.put_bytes(data)
    page = empty_site.server.ask(path)
    assert "is not in the store" not in page.text
    assert "Steps and phases" in page.text


def test_traces_are_read_for_few_at_a_time(
    empty_site: Site, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds a thread of the server, for as long as it takes to read gigabytes."""
    monkeypatch.setattr(reproduction, "_AT_ONCE", threading.Semaphore(0))
    monkeypatch.setattr(reproduction, "PATIENCE", 0.05)
    path = f"/runs/{rerun_in(record)}/reproduction"
    refused = empty_site.server.ask(path)
    assert refused.status == 503
    assert "are being read" in refused.text
    monkeypatch.setattr(reproduction, "_AT_ONCE", threading.Semaphore(1))
    for _ in range(2):
        assert empty_site.server.ask(path).status == 200
