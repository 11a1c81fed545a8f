"""What others keep of a run keeps its form: JSON of `show`, events of the ledger, bundles, sealed texts.

What stands in run_record.json never changes. A new fact is added to it by hand.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.ledger_checks import told

from orchestrator.digest import Digest
from orchestrator.image.image_model import BaseRef, Layer, LayerKind
from orchestrator.record.record import Record
from orchestrator.record.run_record import ImageFacts, InputOrigin, NewRun, Wanted
from orchestrator.run.attempt_model import (
    Failure,
    Fingerprint,
    Log,
    LoggedParam,
    MetricPoint,
    Output,
    OutputStatus,
    Readback,
    Result,
    State,
    TraceFile,
)
from orchestrator.spec.inputs import InputData
from orchestrator.spec.jobfile.job_spec import Resources, Tolerance, Tolerances
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState
from orchestrator.view.forms.json_form import jsonable
from orchestrator.view.runs.run_view import run_document

FORM = Path(__file__).with_name("run_record.json")
NOON = datetime(2026, 11, 23, 12, 0, 13, 500_000, tzinfo=UTC)
NOW = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ONE = Digest.of(b"1")
RUN, QUEUED = "0123456789abcdef", "aaaaaaaaaaaaaaaa"

IMAGE = ImageFacts(
    digest=Digest.of(b"image"),
    config_digest=Digest.of(b"config"),
    base=BaseRef(name="cpu", digest=Digest.of(b"base"), config_digest=Digest.of(b"base config")),
    layers=(Layer(kind=LayerKind.SOURCE, digest=ONE, diff_id=ONE, size=10240, title="source"),),
)
FIELDS: dict[str, Any] = {
    "image": IMAGE,
    "program": Program(
        name="digits", command=("python", "x.py"), params={"lr": 0.1, "b": True, "s": "é"}, inputs={"d": ONE}
    ),
    "resources": Resources(timeout=5.0),
    "submitted_by": "ada",
    "reference": "reprise:1",
}
NEW = NewRun.of(
    id=RUN,
    key="the key",
    description="a\nb",
    tolerance=Tolerances(metrics={"accuracy": Tolerance(abs=0.1)}, volatile=("*.log",)),
    input_paths={"d": "/data"},
    input_origins={"d": InputOrigin(asked="run:digits@latest/ckpt", run=QUEUED, path="ckpt")},
    git=GitState(
        remote="https://example.org/x",
        commit="c" * 40,
        branch="main",
        author="Ada",
        committed_at=NOON,
        subject="s",
        dirty=True,
        patch_digest=ONE,
        submodules={"lib": "d" * 40},
    ),
    rerun_of=QUEUED,
    stop_after=3,
    wanted=Wanted(executor="slurm", box=None, not_box="b0c5", attempts=2),
    inputs=(InputData(digest=ONE, folder=False, count=1, size=1),),
    **FIELDS,
)
RESULT = Result(
    state=State.FAILED,
    failure=Failure.JOB,
    message="exit code 3",
    last_line="ValueError: no",
    exit_code=3,
    oom_killed=True,
    started_at=NOON,
    finished_at=NOON,
    seconds=1.5,
    parted_at=12,
    outputs=(
        Output(path="w.pt", status=OutputStatus.KEPT, digest=ONE, size=1),
        Output(path="l", status=OutputStatus.REJECTED, reason="symlink", target="/etc"),
    ),
    metrics={"accuracy": 0.9, "loss": float("nan")},
    metrics_incomplete="a line is not JSON",
    logged={"lr": LoggedParam(value=0.1, source="mlruns/0/1/params")},
    series=(MetricPoint(name="loss", step=1, value=float("inf")), MetricPoint(name="loss", value=-0.0)),
    packages={"torch": "2.13.0"},
    source={"x.py": "ab" * 32},
    readbacks=(Readback(pid=7, argv=("python",), start={"a": 1}, end=None),),
    reports_missing=True,
    traces=(
        TraceFile(rank=0, world=1, pid=7, digest=ONE, size=1, steps=2, events=3, complete=False, broken="b"),
    ),
    log=Log(digest=ONE, size=3, truncated=True),
    fingerprint=Fingerprint(
        bit_class={"cpu": "x"}, perf_class={"cores": 2}, identity={"host": "h"}, bit_digest=ONE
    ),
    notes=("a note",),
)


def forms(record: Record) -> dict[str, Any]:
    record.submit(NewRun.of(id=QUEUED, key=QUEUED, tolerance=Tolerances(), **FIELDS))
    record.submit(NEW)
    record.claim(RUN, "b0c5", "boot", "pid 1")
    record.finish(RUN, 1, RESULT, seal=lambda _: "a seal")
    text, _ = record.sealed(RUN) or (b"", "")
    found = {
        "show": jsonable(run_document(record.run_with_points(RUN), series=True)),
        "show queued": jsonable(run_document(record.run_with_points(QUEUED))),
        "events": [{"kind": one["kind"], "data": one["data"]} for one in told(record)],
        "carried": json.loads(record.transfer.carry(RUN).to_bytes()),
        "sealed": json.loads(text),
    }
    at_noon = NOON.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def still(match: re.Match[str]) -> str:
        return match[0] if match[0] in (at_noon, "2026-11-23T12:00:13.500000Z") else "NOW"

    return dict(json.loads(NOW.sub(still, json.dumps(found))))


def test_what_is_kept_of_a_run_has_the_form_that_it_always_had(record: Record) -> None:
    assert json.dumps(forms(record), indent=1, sort_keys=True) + "\n" == FORM.read_text()
