"""A rerun that is looked at while it runs, beside its original."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.records import finish_run, new_run
from support.running_run import HEADER, running_job, step_lines
from support.web_fixtures import Site, site_of  # noqa: F401  (a fixture)

from orchestrator.launch.execute.follow_attempt import follow_attempt
from orchestrator.launch.session import Session
from orchestrator.run.attempt_model import TraceFile

TABLE = {"table": 0, "of": "SGD", "tensors": [["w", "float32[2]"]]}


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_of_a_rank_are_not_said_to_differ(
    site_of: Callable[..., Site],  # noqa: F811
    processes: int,
) -> None:
    """The original's other process came first; the rerun does exactly what the second one did."""
    settings = site_of(seeded=False).server.settings
    with Session(settings) as session:
        traces = []
        for number in range(2 - processes, 2):
            lines = [HEADER, TABLE, *step_lines(0, 0.5, f"{number}" * 16)]
            data = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
            facts = {"rank": 0, "world": 1, "pid": number, "steps": 1, "events": 4, "complete": True}
            digest = session.store.put_bytes(data)
            traces.append(TraceFile.model_validate(facts | {"digest": digest, "size": len(data)}))
        first = finish_run(session.record, new_run(seed=1), box="b0", traces=tuple(traces))
        with running_job(settings, session.record, rerun_of=first) as job:
            job.traces(*step_lines(0, 0.5, "1" * 16))
            run = session.record.run(job.run)
            live = follow_attempt(session, run, job.attempt)
            try:
                found = live.look().trace
            finally:
                live.close()
    assert found is not None
    assert found.compared is (processes == 1)
    assert not any(step.apart for step in found.ribbon)
