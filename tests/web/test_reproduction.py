"""A rerun beside its original: what cannot be read now is said, and is not kept for the next time."""

from __future__ import annotations

import json
import threading

import pytest
from support.records import finish_run, new_run
from support.running_run import HEADER, step_lines
from support.web_fixtures import Site

from orchestrator.digest import Digest
from orchestrator.launch.session import Session
from orchestrator.run.attempt_model import TraceFile
from orchestrator.web.pages import reproduction


def test_a_trace_that_is_away_is_said_and_looked_for_again(empty_site: Site) -> None:
    lines = [HEADER, {"table": 0, "of": "SGD", "tensors": [["w", "float32[2]"]]}, *step_lines(0, 0.5)]
    data = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
    trace = TraceFile(
        rank=0,
        world=1,
        pid=7,
        digest=Digest.of(data),
        size=len(data),
        steps=1,
        events=4,
        complete=False,
    )
    settings = empty_site.server.settings
    with Session(settings) as session:
        record = session.record
        first = finish_run(record, new_run(seed=1, image="a"), box="b0", traces=(trace,))
        again = new_run(seed=1, image="a", rerun_of=first)
        rerun = finish_run(record, again, box="b0", traces=(trace,))
        path = f"/runs/{rerun}/reproduction"
        page = empty_site.server.ask(path)
        assert page.status == 200
        assert "is not in the store" in page.text
        assert "nothing was traced" not in page.text, "both were traced"
        session.store.put_bytes(data)
    page = empty_site.server.ask(path)
    assert "is not in the store" not in page.text
    assert "Steps and phases" in page.text


def test_traces_are_read_for_few_at_a_time(empty_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds a thread of the server, for as long as it takes to read gigabytes."""
    monkeypatch.setattr(reproduction, "_AT_ONCE", threading.Semaphore(0))
    monkeypatch.setattr(reproduction, "PATIENCE", 0.05)
    with Session(empty_site.server.settings) as session:
        first = finish_run(session.record, new_run(seed=1, image="a"), box="b0")
        rerun = finish_run(session.record, new_run(seed=1, image="a", rerun_of=first), box="b0")
    refused = empty_site.server.ask(f"/runs/{rerun}/reproduction")
    assert refused.status == 503
    assert "are being read" in refused.text
    monkeypatch.setattr(reproduction, "_AT_ONCE", threading.Semaphore(1))
    for _ in range(2):
        assert empty_site.server.ask(f"/runs/{rerun}/reproduction").status == 200
