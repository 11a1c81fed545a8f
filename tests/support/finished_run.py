"""A run as the record gives it back, made up: nothing was executed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from orchestrator.digest import Digest
from orchestrator.image.image_model import BaseRef
from orchestrator.record.run_record import RunRecord, VerdictLine
from orchestrator.run.attempt_model import Fingerprint, Log, Output, OutputStatus, Readback, State
from orchestrator.spec.jobfile.job_spec import Resources, Tolerances
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState

VOLATILE = ("*.log",)
NOON = datetime(2026, 11, 23, 12, 0, 13, 500_000, tzinfo=UTC)


def digest(seed: str) -> Digest:
    return Digest.of(seed.encode())


def kept(path: str, seed: str) -> Output:
    return Output(path=path, status=OutputStatus.KEPT, digest=digest(seed), size=7)


def make_run(**changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "id": "0123456789abcdef",
        "job": "digits",
        "image": digest("image"),
        "config_digest": digest("config"),
        "reference": "reprise:tag",
        "base": BaseRef(name="cpu", digest=digest("base"), config_digest=digest("base config")),
        "program": Program(
            name="digits", command=("python", "train.py"), params={"lr": 0.1}, inputs={"data": digest("data")}
        ),
        "resources": Resources(),
        "tolerance": Tolerances(volatile=VOLATILE),
        "input_paths": {"data": "/home/ada/data"},
        "state": State.SUCCEEDED,
        "failure": None,
        "message": "",
        "attempt": 1,
        "rerun_of": None,
        "submitted_by": "ada",
        "box": "b0c5",
        "box_name": "alpha",
        "created_at": NOON,
        "started_at": NOON,
        "finished_at": NOON,
        "seconds": 12.3,
        "exit_code": 0,
        "oom_killed": False,
        "metrics": {"accuracy": 0.98, "loss": float("nan")},
        "series": (),
        "outputs": (kept("model.pt", "model"), kept("image", "an output"), kept("train.log", "clock")),
        "packages": {"torch": "2.13.0+cpu", "Typing_Extensions": "4.16"},
        "source": {"train.py": "ab" * 32},
        "fingerprint": Fingerprint(
            bit_class={"cpu_isa": ["avx2"]}, perf_class={}, identity={"host": "x"}, bit_digest=digest("bits")
        ),
        "git": GitState(
            remote="https://example.org/ada/digits",
            commit="c" * 40,
            dirty=True,
            patch_digest=digest("patch"),
        ),
        "readbacks": (
            Readback(pid=7, argv=("python",), start={"benchmark": False}, end={"benchmark": True}),
        ),
        "log": Log(digest=digest("log"), size=100, truncated=False),
        "notes": (),
    }
    return RunRecord(**(fields | changes))


def verdict(original: str, rerun: str) -> VerdictLine:
    return VerdictLine(
        run=rerun,
        original=original,
        outcome="identical",
        document={"summary": "identical: 1 output"},
        box="b0c5",
        by="ada",
        created_at=NOON,
    )
