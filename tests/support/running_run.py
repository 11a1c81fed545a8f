"""A run of this box that is not over, and its job as a test plays it: what it prints, measures and traces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator.record.record import Record
from orchestrator.record.run_record import Wanted
from orchestrator.run.attempt_model import Result, State
from orchestrator.run.hardware import boot_id, box_id
from orchestrator.run.log_spool import LogSpool
from orchestrator.run.workspace import folders_of
from orchestrator.settings import Settings
from support.records import new_run

HEADER = {"trace": 1, "rank": 0, "world": 1, "pid": 7, "began": 1, "every": 1, "tensors": "all"}


def step_lines(step: int, loss: float, digest: str = "0123456789abcdef") -> list[dict[str, Any]]:
    """What the tracer writes of a step of one tensor."""
    return [
        {"e": "batch", "s": step, "n": "loader", "v": [["0", "float32[2]", "aaaaaaaaaaaaaaaa"]]},
        {"e": "loss", "s": step, "v": [["", "float32[]", digest]], "x": [loss]},
        {"e": "grads", "s": step, "o": 0, "t": 0, "d": digest},
        {"e": "params", "s": step, "o": 0, "t": 0, "d": digest},
    ]


class RunningJob:
    """Writes as a job does."""

    def __init__(self, settings: Settings, record: Record, run: str, attempt: int) -> None:
        self.run, self.attempt, self._record = run, attempt, record
        folders = folders_of(settings, run, attempt)
        for folder in (folders.workspace, folders.report):
            folder.mkdir(parents=True)
        self.workspace, self.report = folders.workspace, folders.report
        self._spool = LogSpool(folders.log)
        self._metrics = (folders.workspace / "metrics.jsonl").open("ab", buffering=0)
        self._trace = (folders.report / "trace-7.jsonl").open("ab", buffering=0)
        self.traces(HEADER, {"table": 0, "of": "SGD", "tensors": [["w", "float32[2]"]]})

    def prints(self, text: str) -> None:
        self._spool.add(1, text.encode())

    def measures(self, *points: dict[str, Any]) -> None:
        self._metrics.write(b"".join(json.dumps(point).encode() + b"\n" for point in points))

    def traces(self, *lines: dict[str, Any]) -> None:
        data = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
        self._trace.write(data)

    def ends(self, **result: Any) -> None:
        self._record.move(self.run, self.attempt, State.COLLECTING)
        self._record.finish(self.run, self.attempt, Result(**{"state": State.SUCCEEDED, **result}))

    def close(self) -> None:
        self._spool.close(done=True)
        self._metrics.close()
        self._trace.close()


@contextmanager
def running_job(
    settings: Settings, record: Record, *, box: str | None = None, **fields: Any
) -> Iterator[RunningJob]:
    """`box`: of another box than this one; its folders lie here all the same, as if they lay there."""
    new = new_run(**{"wanted": Wanted(executor="worker" if box else "local"), **fields})
    run, _ = record.submit(new)
    attempt = record.claim(run, box or box_id(settings), boot_id(), "pid 1")
    record.move(run, attempt, State.RUNNING)
    job = RunningJob(settings, record, run, attempt)
    try:
        yield job
    finally:
        job.close()
