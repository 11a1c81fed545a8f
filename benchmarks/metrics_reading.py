"""What reading a job's metrics costs: a million honest points, and files that are made to cost much.

    .venv/bin/python benchmarks/metrics_reading.py

Each case is a process of its own: seconds, and the most memory that it ever had (the interpreter and the
imports are in it; `nothing` says how much that is).
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.digest import Digest
from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.run.collect.reports import read_reports
from orchestrator.run.collect.trace_files import read_traces
from orchestrator.run.metrics.event_files import _masked
from orchestrator.run.metrics.event_metrics import with_event_metrics
from orchestrator.run.metrics.read_metrics import Metrics, read_metrics

POINTS = 1_000_000
EVENTS = "events.out.tfevents.1.host"


class Nowhere:
    def add(self, stream: BinaryIO, size: int) -> Digest:
        return Digest.of_chunks(iter(lambda: stream.read(min(size, 1 << 20)), b""))


def lines(folder: Path, text: Iterator[str], name: str = "metrics.jsonl") -> None:
    with (folder / name).open("w") as stream:
        stream.writelines(text)


def record(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + _masked(head) + data + _masked(data)


def scalar(step: int) -> bytes:
    tag = b"loss/train"
    value = b"\x0a" + bytes([len(tag)]) + tag + b"\x15" + struct.pack("<f", 1 / (step + 1))
    summary = b"\x0a" + bytes([len(value)]) + value
    varint = bytes((step & 0x7F | 0x80, step >> 7 & 0x7F | 0x80, step >> 14))
    return record(b"\x09" + bytes(8) + b"\x10" + varint + b"\x2a" + bytes([len(summary)]) + summary)


def events(folder: Path, data: Iterator[bytes]) -> None:
    with (folder / EVENTS).open("wb") as stream:
        stream.writelines(data)


def many(count: int, text: str = "{}") -> str:
    return '{"a":[' + ",".join([text] * count) + "]}"


def reports(folder: Path) -> None:
    for name in ("entry", "start-1", "start-2", "end-1"):
        (folder / f"{name}.json").write_text(many(5_000_000))


def trace(folder: Path) -> None:
    line = '{"e":"loss","x":[' + ",".join(["{}"] * 5_000_000) + "]}\n"
    lines(folder, iter(('{"trace":1,"began":1}\n', *[line] * 3)), "trace-1.jsonl")


# Case -> what makes its files, and what of them is read. The first two are honest.
CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (Path.exists, "metrics"),
    "a million lines": (
        lambda folder: lines(folder, (f'{{"step": {n}, "loss": {1 / (n + 1)}}}\n' for n in range(POINTS))),
        "metrics",
    ),
    "ten metrics in 100,000 lines": (
        lambda folder: lines(
            folder,
            (
                json.dumps({"step": n, **{f"metric/{m}": n / 3 for m in range(10)}}) + "\n"
                for n in range(POINTS // 10)
            ),
        ),
        "metrics",
    ),
    "a million scalars for TensorBoard": (
        lambda folder: events(folder, map(scalar, range(POINTS))),
        "events",
    ),
    "metrics.json of 21 million lists": (
        lambda folder: (folder / "metrics.json").write_text(many((63 << 20) // 3)),
        "metrics",
    ),
    "metrics.json of 60 MiB in wide characters": (
        lambda folder: (folder / "metrics.json").write_text('{"a":"' + "\U0001f600" * (15 << 20) + '"}'),
        "metrics",
    ),
    "each point a name of its own": (
        lambda folder: lines(folder, (f'{{"{n:0199}\U0001f600": 1}}\n' for n in range(POINTS))),
        "metrics",
    ),
    "lines of braces": (
        lambda folder: lines(
            folder, ('{"a":' * 10 + "[" + ",".join(["{}"] * 300_000) + "]\n" for _ in range(50))
        ),
        "metrics",
    ),
    "an event of 16 million fields": (
        lambda folder: events(folder, iter([record(b"\x10\x01" * (15 << 20))])),
        "events",
    ),
    "four reports of 15 MiB": (reports, "reports"),
    "a trace of losses of 15 MiB": (trace, "traces"),
}


def read(folder: Path, what: str) -> Any:
    if what == "events":
        return with_event_metrics(Metrics(), folder, (Output(path=EVENTS, status=OutputStatus.KEPT),))
    if what == "reports":
        return read_reports(folder)
    return read_traces(folder, Nowhere()) if what == "traces" else read_metrics(folder, None)


def one(folder: str, what: str) -> None:
    begin, used = time.monotonic(), time.process_time()
    found = read(Path(folder), what)
    seconds, used = time.monotonic() - begin, time.process_time() - used
    # Not getrusage: what it says of a child begins with its parent's.
    status = Path("/proc/self/status").read_text()
    most = int(status.partition("VmHWM:")[2].split()[0]) >> 10
    points = len(getattr(found, "series", ()))
    print(f"{seconds:6.1f} s, {used:5.1f} of a core {most:5d} MiB {points:9,d} points", *found.notes[:1])


def main() -> None:
    for name, (make, what) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            done = subprocess.run(
                [sys.executable, __file__, folder, what], capture_output=True, text=True, check=True
            )
            print(f"{name:42}{done.stdout.rstrip()[:160]}")


if __name__ == "__main__":
    one(*sys.argv[1:]) if len(sys.argv) > 2 else main()
