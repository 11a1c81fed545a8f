"""Records, blobs and tensor files, made by hand."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, BinaryIO

import pytest

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.image.model import BaseRef
from orchestrator.record.model import RunRecord
from orchestrator.run.model import Fingerprint, Log, MetricPoint, Output, OutputStatus, Readback, State
from orchestrator.spec.model import Resources, Tolerance, Tolerances
from orchestrator.spec.program import Program
from orchestrator.spec.tree import GitState

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

    def open(self, digest: Digest) -> BinaryIO:
        self.opened.append(digest)
        if digest not in self.held:
            raise StoreError(f"no blob {digest.short}")
        return io.BytesIO(self.held[digest])


@pytest.fixture
def blobs() -> Blobs:
    return Blobs()


def make_fingerprint(**bit_class: Any) -> Fingerprint:
    fields = {"cpu": {"vendor": "GenuineIntel", "isa": "avx2"}, "threads": 1} | bit_class
    digest = Digest.of(json.dumps(fields, sort_keys=True).encode())
    return Fingerprint(
        bit_class=fields, perf_class={"cpu_model": "Xeon", "cores": 2}, identity={}, bit_digest=digest
    )


FLAGS = {"torch.version": "2.13.0", "torch.deterministic_algorithms": True, "cudnn.benchmark": False}


def make_record(blobs: Blobs, **changes: Any) -> RunRecord:
    """A run that succeeded, with three outputs, two metrics, a series, reports. `changes` replace fields."""
    fields: dict[str, Any] = {
        "id": "a" * 16,
        "job": "digits",
        "image": Digest.of(b"image"),
        "config_digest": Digest.of(b"config"),
        "reference": "reprise:image",
        "base": BaseRef(name="cpu", digest=Digest.of(b"base"), config_digest=Digest.of(b"base config")),
        "program": Program(
            name="digits",
            command=("python", "train.py"),
            params={"lr": 0.1, "epochs": 3, "augment": False},
            env={"MODE": "fast"},
            seed=7,
            inputs={"data": Digest.of(b"data")},
        ),
        "resources": Resources(memory=1 << 30),
        "tolerance": Tolerances(),
        "input_paths": {"data": "/data"},
        "state": State.SUCCEEDED,
        "failure": None,
        "message": "",
        "attempt": 1,
        "rerun_of": None,
        "submitted_by": "ada",
        "box": "box-1",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "started_at": datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC),
        "finished_at": datetime(2026, 1, 1, 0, 0, 9, tzinfo=UTC),
        "seconds": 8.0,
        "exit_code": 0,
        "oom_killed": False,
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
        "notes": (),
        "description": "digits with a small net",
        "reports_missing": False,
    }
    assert changes.keys() <= fields.keys(), changes.keys() - fields.keys()
    return RunRecord.model_validate(fields | changes)


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
    return lambda **changes: make_record(blobs, **(HONEST | changes))


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
