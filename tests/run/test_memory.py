"""Files that are made to cost much are read within a limit of memory, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.event_records import event_record

EVENTS = "events.out.tfevents.1.h"
LIMIT = 400 << 20  # bytes of address space beside what the interpreter and its imports have

PROGRAM = """
import io, resource, sys
from pathlib import Path
from orchestrator.digest import Digest
from orchestrator.run.metrics.event_metrics import with_event_metrics
from orchestrator.run.metrics.read_metrics import Metrics, read_metrics
from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.run.collect.reports import read_reports
from orchestrator.run.collect.trace_files import read_traces

class Nowhere:
    def add(self, stream, size):
        return Digest.of_chunks(iter(lambda: stream.read(1 << 20), b""))

folder = Path(sys.argv[1])
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]),) * 2)
metrics = read_metrics(folder, None)
events = [Output(path=p.name, status=OutputStatus.KEPT) for p in folder.glob("*.tfevents.*")]
metrics = with_event_metrics(metrics, folder, tuple(events))
reports, traces = read_reports(folder), read_traces(folder, Nowhere())
print(len(metrics.series), len(metrics.final), len((*metrics.notes, *reports.notes, *traces.notes)))
print(*metrics.notes, *reports.notes, *traces.notes, [f.broken for f in traces.files if f.broken], sep="\\n")
"""


def read(folder: Path, limit: int) -> list[str]:
    words = [sys.executable, "-c", PROGRAM, str(folder), str(limit)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def many(count: int) -> str:
    return '{"a":[' + ",".join(["{}"] * count) + "]}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "limit"),
    [(200_000, 40 << 20), pytest.param(1_000_000, 100 << 20, marks=pytest.mark.acceptance)],
)
def test_many_points_take_little(tmp_path: Path, count: int, limit: int) -> None:
    """A million may take 200 MiB beside the interpreter."""
    with (tmp_path / "metrics.jsonl").open("w") as stream:
        stream.writelines(f'{{"step": {n}, "loss": {1 / (n + 1)}}}\n' for n in range(count))
    assert read(tmp_path, limit)[0] == f"{count} 1 0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make", "limit"),
    [
        ("metrics.json", lambda: many(20_000_000), LIMIT),
        ("metrics.json", lambda: '{"\U0001f600":"' + "\U0001f600" * (15 << 20) + '"}', LIMIT),
        ("metrics.json", lambda: '{"a":' * 8_000_000, LIMIT),
        ("metrics.jsonl", lambda: (many(300_000) + "\n") * 20, LIMIT),
        ("metrics.jsonl", lambda: "x" * (200 << 20), LIMIT),
        (
            "metrics.jsonl",
            lambda: "".join(f'{{"{n:0198}\U0001f600": 1}}\n' for n in range(120_000)),
            100 << 20,
        ),
        ("metrics.jsonl", lambda: "[\n" * 200_000, 30 << 20),
        pytest.param("metrics.jsonl", lambda: "[\n" * 3_000_000, LIMIT, marks=pytest.mark.acceptance),
        (EVENTS, lambda: event_record(b"\x10\x01" * (15 << 20)), LIMIT),
        (EVENTS, lambda: event_record(b"\x2a\xfe\xff\xff\x0e" + b"\x0a\x00" * 15728639), LIMIT),
        ("entry.json", lambda: many(5_000_000), LIMIT),
        ("start-1.json", lambda: json.dumps({"flags": dict.fromkeys(map(str, range(60_000)), "x")}), LIMIT),
        (
            "trace-1.jsonl",
            lambda: '{"trace":1,"began":1}\n{"e":"loss","x":[' + "{}," * 9_000_000 + "{}]}\n",
            LIMIT,
        ),
        ("trace-1.jsonl", lambda: '{"trace":1,"began":1}\n' + '{"e":"loss","x":[]}\n' * 2_000_000, LIMIT),
        ("trace-1.jsonl", lambda: '{"trace":1,"began":1}\n{"' + "e" * (100 << 20), LIMIT),
    ],
)
def test_no_file_takes_more_than_its_share(
    tmp_path: Path, name: str, make: Callable[[], str | bytes], limit: int
) -> None:
    made = make()
    (tmp_path / name).write_bytes(made.encode() if isinstance(made, str) else made)
    said = "\n".join(read(tmp_path, limit))
    assert "not enough memory" not in said
