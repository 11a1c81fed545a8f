"""A history to measure on: as many runs as asked for, the same ones for the same number, on either database.

20 jobs of very different popularity, whose losses differ in scale; 50 images; 5 parameters (float, int, two
strings, bool), 5 metrics, 3 outputs; nine of ten runs succeeded, some failed without a metric; one of a
hundred is put away, another one tagged. Each run has one short event in the ledger. Packages, source files,
logs and traces are left out: no question here reads them.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from orchestrator.digest import canonical_json
from orchestrator.record.database.connect import open_database
from orchestrator.record.database.database import Database
from orchestrator.record.ledger.merkle import Frontier, leaf_hash
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import document
from orchestrator.record.schema.migrate import bring_to_head
from orchestrator.spec.jobfile.job_spec import Resources, Tolerances
from orchestrator.spec.program import Program

JOBS, IMAGES = 20, 50
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
APART = 25.0  # seconds between two runs
PAGE = 20_000  # runs that are written at a time
LONGEST, LONG = 100_000, 10_000  # points of the longest series, and of the others
SHARED_FILE = "config.json"  # an output that thousands of runs have in common
_BOXES = [sha256(b"box %d" % number).hexdigest()[:32] for number in range(12)]
_PEOPLE = ("ada", "bob", "chen", "dana", "eli")
_PROGRAM = Program(
    name="job",
    command=("python", "train.py", "--config", "configs/base.yaml", "--out", "/workspace/out"),
    outputs=("out/**",),
    seed=0,
).model_dump(mode="json")
_RESOURCES = document(Resources().model_dump(mode="json"))
_TOLERANCE = document(Tolerances().model_dump(mode="json"))
Rows = dict[str, list[tuple[Any, ...]]]

# Columns that are written; the others are NULL.
COLUMNS = {
    "run": (
        *("id", "public_id", "key", "job_id", "image_id", "rerun_of", "reference", "description"),
        *("submitted_by", "seed", "program", "resources", "tolerance", "input_paths", "state", "attempt"),
        *("created_at", "failure", "message", "exit_code", "oom_killed", "reports_missing"),
        *("started_at", "finished_at", "seconds", "recorded_at"),
    ),
    "wanted": ("run_id", "executor", "attempts"),
    "attempt": ("run_id", "number", "box", "boot", "executor", "claimed_at"),
    "param": ("run_id", "name", "type", "text", "num"),
    "metric": (
        *("run_id", "name", "text", "num", "job_id"),
        *("low", "low_step", "high", "high_step", "last_step"),
    ),
    "output": ("run_id", "position", "path", "status", "digest", "size"),
    "annotation": ("id", "run_id", "kind", "word", "text", "made_by", "made_at"),
    "event": ("idx", "at", "made_by", "kind", "run", "document"),
}


def job_name(number: int) -> str:
    return f"job-{number:02}"


def run_id(number: int) -> str:
    """The public id of the run with this key."""
    return sha256(b"run %d" % number).hexdigest()[:16]


def output_digest(number: int, name: str) -> str:
    return "sha256:" + sha256(f"{number} {name}".encode()).hexdigest()


def pages(runs: int) -> Iterator[Rows]:
    """Rows of the runs 1 to `runs`, PAGE runs at a time."""
    pick = random.Random(20261123)
    for start in range(1, runs + 1, PAGE):
        page: Rows = {name: [] for name in COLUMNS}
        for number in range(start, min(start + PAGE, runs + 1)):
            _one(page, number, pick, runs)
        yield page


_WEIGHTS = [1 / (rank + 2) for rank in range(JOBS)]


def _one(page: Rows, number: int, pick: random.Random, runs: int) -> None:
    job = pick.choices(range(JOBS), _WEIGHTS)[0]
    created = FIRST + timedelta(seconds=number * APART + pick.random())
    chance = pick.random()
    state = "succeeded" if chance < 0.9 else "failed" if chance < 0.97 else "cancelled"
    if number > runs - 20:
        state = "queued"
    ended = state != "queued"
    seconds = round(pick.lognormvariate(5, 1.2), 3) if ended else None
    start, end = (created + timedelta(seconds=3), created + timedelta(seconds=3 + (seconds or 0)))
    params = _params(number, job, pick)
    public = run_id(number)
    original = pick.randrange(1, number) if number > 100 and pick.random() < 0.05 else None
    program = _PROGRAM | {"name": job_name(job), "seed": number % 1000, "params": dict(params)}
    page["run"].append(
        (
            *(number, public, public, job + 1, pick.randrange(IMAGES) + 1, original),
            *(f"reprise:{number:x}", "", pick.choice(_PEOPLE), number % 1000),
            *(document(program), _RESOURCES, _TOLERANCE, "{}"),
            *(state, 1 if ended else 0, created, "job" if state == "failed" else None, ""),
            *((1 if state == "failed" else 0) if ended else None, False, False),
            *((start, end, seconds, end) if ended else (None, None, None, None)),
        )
    )
    page["wanted"].append((number, "local", 3))
    if ended:
        box = pick.choice(_BOXES)
        page["attempt"].append((number, 1, box, "boot", f"pid {number}", start))
    page["param"] += [(number, name, *_scalar(value)) for name, value in params]
    if state == "succeeded" or (state == "failed" and pick.random() < 0.3):
        page["metric"] += [
            (number, name, repr(value), value, job + 1, *_reached(value, pick))
            for name, value in _metrics(job, pick)
        ]
        for position, name in enumerate(("model.pt", "metrics.json", SHARED_FILE)):
            common = job if name == SHARED_FILE else number
            path = f"out/{name}"
            page["output"].append((number, position, path, "kept", output_digest(common, name), 1 << 20))
    if number % 50 == 0:
        kind, word = ("archive", "") if number % 100 == 0 else ("tag", "keep")
        page["annotation"].append((number // 50, number, kind, word, "", "ada", created))
    told = {"by": "ada", "data": {"run": {"state": state}}, "index": number - 1, "kind": "run.adopted"}
    page["event"].append(
        (number - 1, created, "ada", "run.adopted", public, canonical_json(told | {"run": public, "v": 1}))
    )


def _params(number: int, job: int, pick: random.Random) -> list[tuple[str, Any]]:
    return [
        ("amp", pick.random() < 0.3),
        ("batch", pick.choice((16, 32, 64, 128, 256))),
        ("lr", float(f"{10 ** pick.uniform(-4, 0):.3g}")),
        ("model", f"net-{job}-{number % 5000}"),
        ("optimizer", pick.choice(("adam", "sgd", "adamw", "lion"))),
    ]


def _scalar(value: Any) -> tuple[str, str, float | None]:
    if isinstance(value, bool):
        return "bool", "true" if value else "false", float(value)
    if isinstance(value, str):
        return "str", value, None
    return ("int" if isinstance(value, int) else "float"), repr(value), float(value)


def _metrics(job: int, pick: random.Random) -> list[tuple[str, float]]:
    """Accuracy and loss hang together, and on the job."""
    accuracy = pick.betavariate(6, 2)
    loss = 10.0 ** (job % 5 - 2) * (1.05 - accuracy) * pick.uniform(0.9, 1.1)
    return [
        ("accuracy", accuracy),
        ("epochs", float(pick.choice((10, 20, 50)))),
        ("f1", min(1.0, accuracy * pick.uniform(0.95, 1.02))),
        ("loss", loss),
        ("val/loss", loss * pick.uniform(1.0, 1.3)),
    ]


def _reached(value: float, pick: random.Random) -> tuple[float, int, float, int, int]:
    """The least and the greatest value of a series of 100 points that ended so, and the steps."""
    return (
        *(value * pick.uniform(0.9, 1.0), pick.randrange(100)),
        *(value * pick.uniform(1.0, 1.1), pick.randrange(100), 99),
    )


def shared() -> dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
    """Jobs and images: table -> (columns, rows)."""
    digest = [output_digest(number, "image") for number in range(IMAGES)]
    base = output_digest(0, "base")
    images = [
        (number + 1, digest[number], output_digest(number, "config"), "cuda", base, base, FIRST)
        for number in range(IMAGES)
    ]
    named = ("id", "digest", "config_digest", "base_name", "base_digest", "base_config_digest", "created_at")
    jobs = [(number + 1, job_name(number), FIRST) for number in range(JOBS)]
    return {"job": (("id", "name", "created_at"), jobs), "image": (named, images)}


def points(runs: int, count: int) -> Iterator[list[tuple[Any, ...]]]:
    """`count` points of series: one of LONGEST for the first run that has room, then LONG each."""
    left, number = count, 0
    pick = random.Random(7)
    while left > 0 and number < runs:
        number += 1
        size = min(left, LONGEST if number == 1 else LONG)
        values = [pick.random() for _ in range(size)]
        yield [
            (number, position, "loss" if position % 2 else "accuracy", position // 2, repr(value), value)
            for position, value in enumerate(values)
        ]
        left -= size


POINT_COLUMNS = ("run_id", "position", "name", "step", "text", "num")


class Filling:
    """Rows into an empty database with the schema at its head. Indexes are made last, as a restore does."""

    def __init__(self, url: str) -> None:
        self.database = open_database(url)
        bring_to_head(self.database)

    def fill(self, runs: int, series: int, said: Callable[[str], None]) -> None:
        write = _sqlite if self.database.engine.dialect.name == "sqlite" else _postgres
        frontier = Frontier()

        def everything() -> Iterator[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]]:
            for name, (columns, rows) in shared().items():
                yield name, columns, rows
            for number, page in enumerate(pages(runs), 1):
                for row in page["event"]:
                    frontier.append(leaf_hash(row[-1]))
                for name, rows in page.items():
                    yield name, COLUMNS[name], rows
                said(f"{min(number * PAGE, runs):,} runs")
            for rows in points(runs, series):
                yield "metric_point", POINT_COLUMNS, rows

        write(self.database, everything(), said)
        with self.database.writing() as connection:
            ledger = tables.ledger.update().values(size=frontier.size, frontier=frontier.to_bytes())
            connection.execute(ledger)
        self.database.close()


Chunks = Iterable[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]]
FILLED = ("run", "wanted", "attempt", "param", "metric", "metric_point", "output", "annotation", "event")


def _sqlite(database: Database, chunks: Chunks, said: Callable[[str], None]) -> None:
    path = database.engine.url.database
    with closing(sqlite3.connect(str(path), isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        found = (
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN "
        )
        indexes = connection.execute(found + str(FILLED)).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        connection.execute("BEGIN")
        for name, columns, rows in chunks:
            marks = ", ".join("?" * len(columns))
            rows = [tuple(_as_text(value) for value in row) for row in rows] if _dated(name) else rows
            connection.executemany(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", rows)
        connection.execute("COMMIT")
        for name, sql in indexes:
            connection.execute(sql)
            said(name)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _dated(name: str) -> bool:
    return name in ("run", "attempt", "event", "annotation", "job", "image")


def _as_text(value: Any) -> Any:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value


def _postgres(database: Database, chunks: Chunks, said: Callable[[str], None]) -> None:
    import psycopg

    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        named = ", ".join(f"'{name}'" for name in FILLED)
        found = (
            "SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'ix\\_%' "
            f"AND tablename IN ({named})"
        )
        indexes = connection.execute(found).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        # The checks of the foreign keys would double the time; the rows are right by construction.
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET maintenance_work_mem = '512MB'")
        for name, columns, rows in chunks:
            with connection.cursor().copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        for name, sql in indexes:
            connection.execute(sql)
            said(name)
        for table in ("run", "annotation", "job", "image"):
            connection.execute(f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))")
        connection.execute("VACUUM ANALYZE")


def size_of(database: Database) -> int:
    """Bytes on disk."""
    if database.engine.dialect.name == "sqlite":
        path = str(database.engine.url.database)
        return sum(Path(path + end).stat().st_size for end in ("", "-wal") if Path(path + end).exists())
    with database.reading() as connection:
        return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
