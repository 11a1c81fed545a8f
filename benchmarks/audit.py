"""`reprise audit` of a large record: events, rows, tree heads and blobs, part by part.

    python benchmarks/audit.py [--events 100000] [--blobs 10000] [--keep FOLDER]

One run is recorded in the ordinary way; its rows and events are then copied under other names, with a tree,
a tree head at each run's end and blobs that are right, so that the audit has nothing to find, and says so.
Each part is a process of its own: seconds with start and imports, and the most memory that it had.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from rounds import RESULTS, environ, machine
from support.records import new_run

from orchestrator.audit.heads.signed_note import sign_head
from orchestrator.audit.keys import signing_key
from orchestrator.digest import Digest
from orchestrator.launch.session import Session
from orchestrator.record.ledger.merkle import Frontier, leaf_hash
from orchestrator.run.attempt_model import Log, MetricPoint, Output, OutputStatus, Result, State
from orchestrator.settings import Settings, load

PER_RUN = 5  # events
BLOB = 4096  # bytes
PAGE = 2000  # runs that are written at a time
NAMED = 3  # blobs that a run names: two outputs and its log
PARTS = ("ledger", "rows", "blobs")
TEMPLATE = "0" * 16  # the run that is copied
_MARKED = [(b"mark %d" % number).ljust(BLOB) for number in range(NAMED)]  # blobs of the template
_MARKS = [Digest.of(data) for data in _MARKED]


def template(session: Session) -> int:
    """Record one run with two outputs, a log, parameters, metrics and packages.

    Returns the number of events before it.
    """
    record = session.record
    params = {"lr": 0.1, "epochs": 10, "batch": 64, "optimizer": "adam", "amp": True}
    record.submit(new_run(id=TEMPLATE, key=TEMPLATE, job="bench", params=params, seed=0))
    record.claim(TEMPLATE, "box", "boot", "pid 1")
    record.save_plan(TEMPLATE, 1, '{"plan": 1}')
    record.move(TEMPLATE, 1, State.RUNNING)
    record.finish(
        TEMPLATE,
        1,
        Result(
            state=State.SUCCEEDED,
            exit_code=0,
            seconds=2.5,
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
            finished_at=datetime(2026, 1, 1, tzinfo=UTC),
            metrics={"accuracy": 0.9, "loss": 0.25, "f1": 0.8, "epochs": 10.0, "val/loss": 0.3},
            series=tuple(MetricPoint(name="loss", step=step, value=1 / step) for step in range(1, 11)),
            packages={f"package-{number}": "1.0" for number in range(20)},
            outputs=tuple(
                Output(path=f"out/{name}", status=OutputStatus.KEPT, digest=mark, size=BLOB)
                for name, mark in zip(("model.pt", "metrics.json"), _MARKS, strict=False)
            ),
            log=Log(digest=_MARKS[2], size=BLOB, truncated=False),
        ),
    )
    return record.ledger.head().size - PER_RUN


def fill(settings: Settings, runs: int, count: int) -> None:
    """Write `count` blobs, and copies of the template under other names, with a tree head for each."""
    blobs = store(settings, count)
    with Session(settings) as session:
        before = template(session)
        origin = session.record.ledger.head().origin
    key = signing_key(settings)
    path = settings.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        tables = _rows(connection)
        events = connection.execute("SELECT * FROM event ORDER BY idx").fetchall()
        frontier = Frontier()
        for row in events:
            frontier.append(leaf_hash(row[-1]))
        for start in range(2, runs + 1, PAGE):
            page: dict[str, list[tuple[Any, ...]]] = {}
            for number in range(start, min(start + PAGE, runs + 1)):
                _copy(page, tables, events[before:], number, blobs, frontier)
                note = sign_head(origin, frontier.size, frontier.root, key)
                moment = "2026-01-01 00:00:00.000000"
                page.setdefault("checkpoint", []).append((frontier.size, note, moment))
            connection.execute("BEGIN")
            for name, rows in page.items():
                marks = ", ".join("?" * len(rows[0]))
                connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
            connection.execute("COMMIT")
            print(f"\r{min(start + PAGE, runs):,} runs", end="", file=sys.stderr, flush=True)
        connection.execute("UPDATE ledger SET size = ?, frontier = ?", (frontier.size, frontier.to_bytes()))
        print(file=sys.stderr)


def _rows(connection: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    """The template's rows by table."""
    connection.row_factory = sqlite3.Row
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        columns = [row["name"] for row in connection.execute(f"PRAGMA table_info({name})")]
        if name == "run" or "run_id" in columns:
            found[name] = [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
    connection.row_factory = None
    return {name: rows for name, rows in found.items() if rows}


def _copy(
    page: dict[str, list[tuple[Any, ...]]],
    tables: dict[str, list[dict[str, Any]]],
    events: list[tuple[Any, ...]],
    number: int,
    blobs: list[str],
    frontier: Frontier,
) -> None:
    run = f"{number:016x}"
    named = [blobs[(number * NAMED + place) % len(blobs)] for place in range(NAMED)]
    changes = {TEMPLATE: run, **dict(zip(_MARKS, named, strict=True))}
    for name, rows in tables.items():
        for row in rows:
            moved = {key: changes.get(value, value) for key, value in row.items()}
            moved["id" if name == "run" else "run_id"] = number
            page.setdefault(name, []).append(tuple(moved.values()))
    for index, at, by, kind, _, document in events:
        for old, new in changes.items():
            document = document.replace(old.encode(), new.encode())
        document = document.replace(b'"index":%d,' % index, b'"index":%d,' % frontier.size)
        document = document.replace(b'"id":1,', b'"id":%d,' % number)
        row = (frontier.size, at, by, kind, run, document)
        page.setdefault("event", []).append(row)
        frontier.append(leaf_hash(document))


def store(settings: Settings, count: int) -> list[str]:
    """Random blobs, as the store keeps them, and those of the template; the digests of the random ones."""
    digests: list[str] = []
    for data in chain(_MARKED, (os.urandom(BLOB) for _ in range(count))):
        digest = Digest.of(data)
        path = settings.store / "sha256" / digest.hex[:2] / digest.hex
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        digests.append(digest)
    return digests[NAMED:]


def measured(words: list[str], settings: Settings) -> dict[str, Any]:
    """Seconds and peak of memory of a command, in a process of its own; raises where it finds a fault."""
    env = environ(REPRISE_HOME=str(settings.home))
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        process = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "orchestrator.cli", *words],
            env,
            file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1)],
        )
        _, status, used = os.wait4(process, 0)
        took = time.perf_counter() - start
        out.seek(0)
        text = out.read()
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise RuntimeError(f"reprise {' '.join(words)}: exit {code}\n{text[:2000]}")
    return {"seconds": took, "peak_mib": used.ru_maxrss / 1024}


def variants(settings: Settings, folder: Path) -> Iterator[tuple[str, list[str]]]:
    for part in PARTS:
        yield part, ["audit", "--only", part, "--json"]
    yield "export", ["ledger", "export", str(folder / "export"), "--json"]
    key = signing_key(settings).public.vkey
    yield "offline", ["audit", "--offline", str(folder / "export"), "--key", key, "--json"]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--events", type=int, default=100_000)
    words.add_argument("--blobs", type=int, default=10_000)
    words.add_argument("--keep", type=Path, help="keep the record in this folder, and use it if it is there")
    words.add_argument("--only", nargs="*", help="of: ledger rows blobs export offline")
    asked = words.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="reprise-audit-"))
    settings = load({"REPRISE_HOME": str(folder / "home")})
    try:
        if not (folder / "home" / "reprise.db").exists():
            # In a process of its own: the kernel counts a parent's memory as a child's peak.
            made = multiprocessing.Process(target=fill, args=(settings, asked.events // PER_RUN, asked.blobs))
            made.start()
            made.join()
        shutil.rmtree(folder / "export", ignore_errors=True)
        title = f"{asked.events:,} events of {asked.events // PER_RUN:,} runs, {asked.blobs:,} blobs"
        print(f"### {title} of {BLOB} bytes\n\n| | seconds | peak MiB |\n|---|--:|--:|")
        found = {}
        for name, command in variants(settings, folder):
            if asked.only and name not in asked.only:
                continue
            one = found[name] = measured(command, settings)
            print(f"| {name} | {one['seconds']:.1f} | {one['peak_mib']:.0f} |", flush=True)
            write(title, found)
    finally:
        if asked.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def write(title: str, found: dict[str, Any]) -> None:
    """Beside what was measured at other sizes."""
    path = RESULTS / "audit.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known[title] = {"machine": machine(), "measured": found}
    path.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
