"""Runs for tests: to be queued, to be written down as finished, or as the record gives them back.

Whatever a test does not name has a plain value, so a new fact of a run changes no test.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.digest import Digest
from orchestrator.image.image_model import BaseRef, Layer, LayerKind
from orchestrator.record.record import Record
from orchestrator.record.run_record import BoxFacts, ImageFacts, NewRun, Reached, RunLine, RunRecord
from orchestrator.record.runs import read_run
from orchestrator.record.store.blob_store import Store
from orchestrator.run.attempt_model import (
    Fingerprint,
    Log,
    MetricPoint,
    Output,
    OutputStatus,
    Readback,
    Result,
    State,
    TraceFile,
)
from orchestrator.spec.jobfile.job_spec import Resources, Tolerances
from orchestrator.spec.program import Program

NOON = datetime(2026, 11, 23, 12, 0, 13, 500_000, tzinfo=UTC)
RUN = "0123456789abcdef"
ONE = Digest.of(b"one")
BOX = BoxFacts(
    id="b0",
    name="alpha",
    state="up",
    boot="boot",
    slots=1,
    cpus=2,
    memory=1 << 34,
    gpus=(),
    bit_class={"gpu": None},
    bit_digest=ONE,
    versions={"reprise": "1"},
)


def digest_of(text: str) -> Digest:
    return Digest.of(text.encode())


def kept(path: str, text: str) -> Output:
    """An output with these bytes."""
    return Output(path=path, status=OutputStatus.KEPT, digest=digest_of(text), size=len(text))


def run_line(**changes: Any) -> RunLine:
    """A run as the history lists it."""
    fields: dict[str, Any] = {
        "id": RUN,
        "job": "digits",
        "image": digest_of("image"),
        "state": State.SUCCEEDED,
        "failure": None,
        "rerun_of": None,
        "submitted_by": "ada",
        "created_at": NOON.replace(microsecond=0),
        "seconds": 2.5,
        "params": {"lr": 0.1},
        "metrics": {"loss": 0.5},
        "reached": {"loss": Reached(min=0.25, min_step=7)},
        "verdict": None,
    }
    return RunLine(**(fields | changes))


def stored_output(store: Store, path: str, data: bytes) -> Output:
    """An output whose bytes are in the store."""
    return Output(path=path, status=OutputStatus.KEPT, digest=store.put_bytes(data), size=len(data))


def image_facts(name: str = "image", **changes: Any) -> ImageFacts:
    base = BaseRef(name="cpu", digest=digest_of("base"), config_digest=digest_of("base config"))
    layer = Layer(kind=LayerKind.SOURCE, digest=digest_of(name), diff_id=digest_of(name), size=10240)
    fields = {"digest": digest_of(name), "config_digest": digest_of(f"{name} config"), "base": base}
    return ImageFacts(**({"layers": (layer,)} | fields | changes))


def _program(changes: dict[str, Any]) -> Program:
    fields = {name: changes.pop(name) for name in ("params", "seed") if name in changes}
    return Program(name=changes.pop("job", "digits"), command=("python", "train.py"), **fields)


_ASKED: dict[str, Any] = {
    "resources": Resources(),
    "tolerance": Tolerances(),
    "submitted_by": "ada",
    "reference": "reprise:1",
}


def new_run(**changes: Any) -> NewRun:
    """Beside fields of NewRun: `job`, `params` and `seed` of the program, `image` as facts or their name."""
    image = changes.pop("image", "image")
    facts = image_facts(image) if type(image) is str else image
    if "program" not in changes:
        changes["program"] = _program(changes)
    return NewRun.of(facts, **(_ASKED | changes))


def result(**changes: Any) -> Result:
    return Result(**({"state": State.SUCCEEDED, "exit_code": 0} | changes))


def full_result(**changes: Any) -> Result:
    """A result with a row in every table."""
    fields: dict[str, Any] = {
        "message": "well",
        "started_at": datetime(2026, 11, 23, 9, 30, 12, 1, tzinfo=UTC),
        "finished_at": datetime(2026, 11, 23, 9, 30, 14, tzinfo=UTC),
        "seconds": 2.5,
        "outputs": (Output(path="w.pt", status=OutputStatus.KEPT, digest=ONE, size=3),),
        "metrics": {"accuracy": 0.9, "loss": -0.0},
        "series": (MetricPoint(name="loss", step=1, value=0.5),),
        "packages": {"torch": "2.13.0"},
        "source": {"train.py": ONE.hex},
        "readbacks": (Readback(pid=7, argv=("python",), start={"a": 1}, end={"a": 2}),),
        "traces": (
            TraceFile(
                rank=0, world=1, pid=7, digest=ONE, size=5, steps=2, events=3, complete=True, broken="no"
            ),
        ),
        "log": Log(digest=ONE, size=9, truncated=False),
        "fingerprint": Fingerprint(
            bit_class={"a": 1}, perf_class={"b": 2}, identity={"c": 3}, bit_digest=ONE
        ),
        "notes": ("a gap",),
    }
    return result(**(fields | changes))


def finish_run(record: Record, new: NewRun, box: str = "box", **changes: Any) -> str:
    """Submit, claim and finish: the id. `changes`: fields of the result."""
    run, _ = record.submit(new)
    attempt = record.claim(run, box, "boot", "pid 1")
    record.finish(run, attempt, result(**changes))
    return run


def run_record(**changes: Any) -> RunRecord:
    """A finished run that left nothing but an exit code; also by `job`, `params` and `seed`."""
    program = changes.pop("program", None) or _program(changes)
    facts = image_facts()
    fields: dict[str, Any] = {
        **_ASKED,
        **dict(result(started_at=NOON, finished_at=NOON, seconds=12.3)),
        "id": RUN,
        "job": program.name,
        "program": program,
        "image": facts.digest,
        "config_digest": facts.config_digest,
        "base": facts.base,
        "attempt": 1,
        "box": "box",
        "created_at": NOON,
    }
    return RunRecord.model_validate(fields | changes)


def no_run_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on whoever reads a whole run, with all outputs and source files, fails."""

    def fail(*_: Any) -> None:
        raise AssertionError("a whole run is read")

    monkeypatch.setattr(read_run, "_recorded_run", fail)


def no_points_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on whoever reads all points of a run fails."""

    def fail(rows: Any) -> None:
        raise AssertionError("the points of a run are read")

    monkeypatch.setitem(
        read_run.RESULTS, read_run.POINTS, read_run.RESULTS[read_run.POINTS]._replace(field=fail)
    )
