"""A run as the record gives it back, made up: nothing was executed."""

from __future__ import annotations

from typing import Any

from orchestrator.record.run_record import RunRecord, VerdictLine
from orchestrator.run.attempt_model import Fingerprint, Log, Readback
from orchestrator.spec.jobfile.job_spec import Tolerances
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState
from support.records import NOON, digest_of, kept, run_record

VOLATILE = ("*.log",)


def make_run(**changes: Any) -> RunRecord:
    """With evidence of every kind."""
    fields: dict[str, Any] = {
        "reference": "reprise:tag",
        "program": Program(
            name="digits",
            command=("python", "train.py"),
            params={"lr": 0.1},
            inputs={"data": digest_of("data")},
        ),
        "tolerance": Tolerances(volatile=VOLATILE),
        "input_paths": {"data": "/home/ada/data"},
        "box": "b0c5",
        "box_name": "alpha",
        "metrics": {"accuracy": 0.98, "loss": float("nan")},
        "outputs": (kept("model.pt", "model"), kept("image", "an output"), kept("train.log", "clock")),
        "packages": {"torch": "2.13.0+cpu", "Typing_Extensions": "4.16"},
        "source": {"train.py": "ab" * 32},
        "fingerprint": Fingerprint(
            bit_class={"cpu_isa": ["avx2"]},
            perf_class={},
            identity={"host": "x"},
            bit_digest=digest_of("bits"),
        ),
        "git": GitState(
            remote="https://example.org/ada/digits",
            commit="c" * 40,
            dirty=True,
            patch_digest=digest_of("patch"),
        ),
        "readbacks": (
            Readback(pid=7, argv=("python",), start={"benchmark": False}, end={"benchmark": True}),
        ),
        "log": Log(digest=digest_of("log"), size=100, truncated=False),
    }
    return run_record(**(fields | changes))


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
