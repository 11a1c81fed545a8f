"""Records, blobs and tensor files, made by hand."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, BinaryIO

import pytest
from support.records import run_record

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import (
    Fingerprint,
    Log,
    MetricPoint,
    Output,
    OutputStatus,
    Readback,
    TraceFile,
)
from orchestrator.spec.jobfile.job_spec import Resources, Tolerance, Tolerances
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.verdict_model import Verdict

Make = Callable[..., RunRecord]


class Blobs:
    """A store in memory; `open` is what compare is given."""

    def __init__(self) -> None:
        self.held: dict[Digest, bytes] = {}
        self.opened: list[Digest] = []

    def kept(self, path: str, data: bytes) -> Output:
        digest = Digest.of(data)
        self.held[digest] = data
        return Output(path=path, status=OutputStatus.KEPT, digest=digest, size=len(data))

    def rejected(self, path: str, reason: str = "symlink") -> Output:
        return Output(path=path, status=OutputStatus.REJECTED, reason=reason)

    def traced(self, lines: list[dict[str, Any] | bytes], **facts: Any) -> TraceFile:
        """A trace of these lines, the header and the last line included; `facts` replace what they say."""
        data = b"".join(line if isinstance(line, bytes) else encoded(line) for line in lines)
        header, last = lines[0], lines[-1]
        events = sum(1 for line in lines if isinstance(line, dict) and "e" in line)
        known = {
            "rank": header["rank"],
            "world": header["world"],
            "pid": header["pid"],
            "digest": Digest.of(data),
            "size": len(data),
            "steps": last.get("steps", 0) if isinstance(last, dict) else 0,
            "events": events,
            "complete": isinstance(last, dict) and last.get("end") is True,
        }
        self.held[known["digest"]] = data
        return TraceFile(**(known | facts))

    def open(self, digest: Digest) -> BinaryIO:
        self.opened.append(digest)
        if digest not in self.held:
            raise StoreError(f"no blob {digest.short}")
        return io.BytesIO(self.held[digest])


def encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


PARAMETERS = [
    ["conv1.weight", "float32[8,1,3,3]"],
    ["conv1.bias", "float32[8]"],
    ["fc.weight", "float32[10,8]"],
]


def hexed(*of: object) -> str:
    """16 hex digits that stand for a tensor."""
    return Digest.of(repr(of).encode()).hex[:16]


def digests(*of: object) -> str:
    return "".join(hexed(name, *of) for name, _ in PARAMETERS)


def trace_lines(steps: int = 3, pid: int = 7, began: int = 1000, rank: int = 0, world: int = 1) -> list[Any]:
    """What the tracer leaves of a small classifier with SGD, trained for `steps` steps."""
    lines: list[dict[str, Any]] = [
        {"trace": 1, "rank": rank, "world": world, "pid": pid, "began": began, "every": 1, "tensors": "all"}
        | {"torch": "2.13.0+cpu"}
    ]
    for step in range(steps):
        tensors = [["0", "float32[32,1,8,8]", hexed("x", step)], ["1", "int64[32]", hexed("y", step)]]
        lines.append({"e": "batch", "s": step, "n": "DataLoader", "v": tensors})
        if not step:
            lines.append({"table": 0, "of": "model", "tensors": PARAMETERS})
            lines.append({"e": "init", "s": 0, "t": 0, "d": digests("init")})
        generators = [["python", "", hexed("python")], ["torch", "", hexed("torch", step)]]
        lines.append({"e": "rng", "s": step, "v": generators})
        lines.append(
            {"e": "forward", "s": step, "n": "CNN", "v": [["", "float32[32,10]", hexed("out", step)]]}
        )
        loss = {"v": [["", "float32[]", hexed("loss", step)]], "x": [2.3 - step / 8]}
        lines.append({"e": "loss", "s": step, **loss})
        if not step:
            lines.append({"table": 1, "of": "SGD", "tensors": PARAMETERS})
        lines.append({"e": "grads", "s": step, "o": 0, "t": 1, "d": digests("grad", step)})
        lines.append({"e": "params", "s": step, "o": 0, "t": 1, "d": digests("param", step)})
    events = sum(1 for line in lines if "e" in line)
    return [*lines, {"end": True, "steps": steps, "events": events}]


@pytest.fixture
def blobs() -> Blobs:
    return Blobs()


def make_fingerprint(**bit_class: Any) -> Fingerprint:
    fields = {
        "cpu_vendor": "GenuineIntel",
        "cpu_isa": ["avx", "avx2", "fma"],
        "machine": "x86_64",
    } | bit_class
    digest = Digest.of(json.dumps(fields, sort_keys=True).encode())
    return Fingerprint(
        bit_class=fields, perf_class={"cpu_model": "Xeon", "cores": 2}, identity={}, bit_digest=digest
    )


FLAGS = {
    "torch.version": "2.13.0",
    "trace": "all:1",
    "torch.deterministic_algorithms": True,
    "cudnn.benchmark": False,
}


def make_record(blobs: Blobs, **changes: Any) -> RunRecord:
    """A run that succeeded, with three outputs, two metrics, a series, reports. `changes` replace fields."""
    fields: dict[str, Any] = {
        "id": "a" * 16,
        "program": Program(
            name="digits",
            command=("python", "train.py"),
            params={"lr": 0.1, "epochs": 3, "augment": False},
            env={"MODE": "fast"},
            seed=7,
            inputs={"data": Digest.of(b"data")},
        ),
        "resources": Resources(memory=1 << 30),
        "input_paths": {"data": "/data"},
        "box": "box-1",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "started_at": datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC),
        "finished_at": datetime(2026, 1, 1, 0, 0, 9, tzinfo=UTC),
        "seconds": 8.0,
        "metrics": {"accuracy": 0.9861, "loss": 0.25},
        "series": (
            MetricPoint(name="loss", step=0, value=1.0),
            MetricPoint(name="loss", step=1, value=0.25),
            MetricPoint(name="speed", value=3.0),
        ),
        "outputs": (
            blobs.kept("metrics.json", b'{"accuracy": 0.9861, "loss": 0.25}'),
            blobs.kept("model.pt", b"weights" * 1000),
            blobs.kept("plots/curve.png", b"\x89PNG"),
        ),
        "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
        "source": {"train.py": "0" * 64, "net.py": "1" * 64},
        "fingerprint": make_fingerprint(),
        "git": GitState(commit="c" * 40, branch="main"),
        "readbacks": (Readback(pid=7, argv=("python", "train.py"), start=FLAGS, end=FLAGS),),
        "log": Log(digest=Digest.of(b"log"), size=3, truncated=False),
        "description": "digits with a small net",
        "traces": (blobs.traced(trace_lines()),),
    }
    return run_record(**(fields | changes))


@pytest.fixture
def original(blobs: Blobs) -> RunRecord:
    return make_record(blobs)


@pytest.fixture
def record(blobs: Blobs) -> Make:
    """`record(metrics={...})`: the original with these fields instead."""
    return lambda **changes: make_record(blobs, **changes)


@pytest.fixture
def rerun(blobs: Blobs) -> Make:
    """`rerun(metrics={...})`: what an honest rerun of the original leaves, but for these fields."""
    traces = (blobs.traced(trace_lines(pid=9, began=77)),)
    readbacks = (Readback(pid=9, argv=("python", "train.py"), start=FLAGS, end=FLAGS),)
    honest = {**HONEST, "traces": traces, "readbacks": readbacks}
    return lambda **changes: make_record(blobs, **(honest | changes))


@pytest.fixture
def judged(blobs: Blobs, record: Make, rerun: Make) -> Callable[..., Verdict]:
    """`judged({...}, {...})`: the verdict on an original and a rerun with these fields; `judged({...})`: both
    have these.
    """

    def made(original: dict[str, Any], again: dict[str, Any] | None = None) -> Verdict:
        return compare(record(**original), rerun(**(original if again is None else again)), blobs.open)

    return made


HONEST: dict[str, Any] = {
    "id": "b" * 16,
    "rerun_of": "a" * 16,
    "box": "box-2",
    "seconds": 9.5,
    "attempt": 2,
    "submitted_by": "grace",
    "created_at": datetime(2026, 2, 1, tzinfo=UTC),
    "log": Log(digest=Digest.of(b"another log"), size=11, truncated=True),
    "input_paths": {"data": "/elsewhere"},
    "git": None,
}


@pytest.fixture
def tolerance() -> Callable[..., Tolerances]:
    """`tolerance(accuracy=(0.01, 0), outputs={"*.npy": (0, 1e-6)})`, each as (abs, rel)."""

    def make(
        outputs: dict[str, tuple[float, float]] | None = None, **metrics: tuple[float, float]
    ) -> Tolerances:
        return Tolerances(
            metrics={name: Tolerance(abs=pair[0], rel=pair[1]) for name, pair in metrics.items()},
            outputs={name: Tolerance(abs=pair[0], rel=pair[1]) for name, pair in (outputs or {}).items()},
        )

    return make


@pytest.fixture
def npy() -> Callable[..., bytes]:
    """An .npy file as numpy writes it: `npy("<f4", (2, 3), data)`."""

    def make(
        descr: str, shape: tuple[int, ...], data: bytes, fortran: bool = False, version: int = 1
    ) -> bytes:
        header = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}"
        form = "<H" if version == 1 else "<I"
        before = 8 + struct.calcsize(form)
        header += " " * (-(len(header) + 1 + before) % 64) + "\n"
        return b"\x93NUMPY" + bytes((version, 0)) + struct.pack(form, len(header)) + header.encode() + data

    return make


@pytest.fixture
def safetensors() -> Callable[..., bytes]:
    """`safetensors({"w": ("F32", [2], data)}, metadata={...})`, laid out in the order given."""

    def make(
        tensors: dict[str, tuple[str, list[int], bytes]], metadata: dict[str, str] | None = None
    ) -> bytes:
        header: dict[str, Any] = {"__metadata__": metadata} if metadata is not None else {}
        offset = 0
        for name, (dtype, shape, data) in tensors.items():
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
            offset += len(data)
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())

    return make


@pytest.fixture
def box() -> Callable[..., Fingerprint]:
    """`box(threads=2)`: a fingerprint whose bit class differs in this."""
    return make_fingerprint


@pytest.fixture
def trace_of() -> Callable[..., list[Any]]:
    return trace_lines
