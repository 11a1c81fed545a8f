"""The same history in MLflow and here, the same questions in turn, on SQLite and on Postgres.

    python -m venv /tmp/mlflow && /tmp/mlflow/bin/pip install mlflow psycopg2-binary
    python benchmarks/history_mlflow.py --mlflow-python /tmp/mlflow/bin/python [--runs 100000] [--rounds 15]

Runs go by bulk SQL into the schema that MLflow makes, with the tags that it writes itself, and the tables are
analyzed; `search_runs` is asked through its own client, in a process that stays. Both are warm, and both give
back runs with parameters and metrics. The answers must name the same runs.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from history_rows import Filling, pages, run_id
from history_scale import a_life
from rounds import measure, report, timed
from support.services import PostgresServer, postgres_server

from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import HistoryFilter
from orchestrator.settings import load

LIMIT = 100
SIDE = Path(__file__).with_name("mlflow_side.py")
COLUMNS = {
    "runs": (
        *("run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status"),
        *("start_time", "end_time", "source_version", "lifecycle_stage", "artifact_uri", "experiment_id"),
    ),
    "params": ("key", "value", "run_uuid"),
    "metrics": ("key", "value", "timestamp", "run_uuid", "step", "is_nan"),
    "latest_metrics": ("key", "value", "timestamp", "run_uuid", "step", "is_nan"),
    "tags": ("key", "value", "run_uuid"),
}
# Question -> ours, and MLflow's. Its parameters are texts, and compare as texts.
QUESTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "filter and order": (
        {"where": "metrics.accuracy > 0.9 and params.optimizer == 'adam'", "sort": "-metrics.accuracy"},
        {
            "filter_string": "metrics.accuracy > 0.9 and params.optimizer = 'adam'",
            "order_by": ["metrics.accuracy DESC"],
        },
    ),
    "newest": ({}, {"order_by": ["attributes.start_time DESC"]}),
    "a rare parameter": (
        {"where": "params.model == 'net-3-77'"},
        {"filter_string": "params.model = 'net-3-77'", "order_by": ["attributes.start_time DESC"]},
    ),
    "a filter that fits nothing, ordered": (
        {"where": "metrics.accuracy > 2 and params.optimizer == 'adam'", "sort": "-metrics.f1"},
        {
            "filter_string": "metrics.accuracy > 2 and params.optimizer = 'adam'",
            "order_by": ["metrics.f1 DESC"],
        },
    ),
    "a filter that fits nearly all, ordered by another": (
        {"where": "metrics.loss > 0", "sort": "-metrics.f1"},
        {"filter_string": "metrics.loss > 0", "order_by": ["metrics.f1 DESC"]},
    ),
}


class Side:
    """MLflow's process."""

    def __init__(self, python: str, uri: str) -> None:
        self.process = subprocess.Popen(
            [python, str(SIDE), uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = str(self._answer()["answer"])

    def ask(self, what: str, **keywords: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([what, keywords]) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"MLflow's process ended with {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def rows_for_mlflow(runs: int) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """The rows of history_rows as MLflow would have written them."""
    for page in pages(runs):
        times, states = {}, {}
        found: dict[str, list[tuple[Any, ...]]] = {name: [] for name in COLUMNS}
        for row in page["run"]:
            number, created, state, person, image = row[0], row[16], row[14], row[8], row[4]
            times[number] = round(created.timestamp() * 1000)
            states[number] = {"succeeded": "FINISHED", "queued": "SCHEDULED", "cancelled": "KILLED"}.get(
                state, "FAILED"
            )
            key = uuid_of(number)
            found["runs"].append(
                (
                    *(key, f"able-fox-{number}", "UNKNOWN", "", "", person, states[number]),
                    *(times[number], times[number] + 5000, "", "active", f"mlruns/0/{key}/artifacts", 0),
                )
            )
            tags = {"mlflow.user": person, "mlflow.source.name": "train.py", "mlflow.source.type": "LOCAL"}
            tags |= {"mlflow.runName": f"able-fox-{number}", "mlflow.source.git.commit": f"{number:040x}"}
            tags["mlflow.docker.image.id"] = f"sha256:{image:064x}"
            found["tags"] += [(name, value, key) for name, value in tags.items()]
        for number, name, _, text, _ in page["param"]:
            found["params"].append((name, text, uuid_of(number)))
        for number, name, _, value, *_ in page["metric"]:
            found["metrics"].append((name, value, times[number], uuid_of(number), 0, False))
        found["latest_metrics"] = found["metrics"]
        yield from found.items()


def uuid_of(number: int) -> str:
    return run_id(number) * 2


def fill_mlflow(target: str | PostgresServer, runs: int) -> None:
    if isinstance(target, str):
        with closing(sqlite3.connect(target, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            for name, rows in rows_for_mlflow(runs):
                marks = ", ".join("?" * len(COLUMNS[name]))
                connection.executemany(
                    f"INSERT INTO {name} ({', '.join(COLUMNS[name])}) VALUES ({marks})", rows
                )
            connection.execute("COMMIT")
            connection.execute("ANALYZE")
        return
    import psycopg

    with psycopg.connect(target.url("mlflow"), autocommit=True) as server:
        for name, rows in rows_for_mlflow(runs):
            with server.cursor().copy(f"COPY {name} ({', '.join(COLUMNS[name])}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        server.execute("VACUUM ANALYZE")


def variants(
    record: Record, side: Side, ours: dict[str, Any], theirs: dict[str, Any]
) -> dict[str, Callable[[], float]]:
    wanted = HistoryFilter(limit=LIMIT, **ours)
    here = [line.id for line in record.history.lines(wanted)]
    there = [run[:16] for run in side.ask("search", max_results=LIMIT, **theirs)["answer"]]
    if sorted(here) != sorted(there):
        raise RuntimeError(f"not the same runs: {len(here)} here, {len(there)} there, for {wanted.where}")
    return {
        "reprise": lambda: timed(lambda: record.history.lines(wanted)),
        "mlflow": lambda: float(side.ask("search", max_results=LIMIT, **theirs)["seconds"]),
    }


def measured(kind: str, record: Record, side: Side, runs: int, rounds: int) -> dict[str, Any]:
    found = {
        f"{kind}, {runs:,} runs: {name}": measure(variants(record, side, ours, theirs), rounds)
        for name, (ours, theirs) in QUESTIONS.items()
    }
    lives = {
        "reprise": lambda: timed(lambda: a_life(record)),
        "mlflow": lambda: float(side.ask("record")["seconds"]),
    }
    found[f"{kind}, {runs:,} runs: record a run"] = measure(lives, rounds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mlflow-python", required=True, metavar="PATH", help="of a venv that has MLflow")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    tables: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="reprise-mlflow-") as folder, postgres_server() as server:
        server.sql("CREATE DATABASE mlflow")
        theirs = server.url("mlflow").replace("postgresql:", "postgresql+psycopg2:")
        for kind, url, uri, target in (
            ("SQLite", f"sqlite:///{folder}/ours.db", f"sqlite:///{folder}/mlflow.db", f"{folder}/mlflow.db"),
            ("Postgres", server.url(), theirs, server),
        ):
            start = datetime.now()
            Filling(url).fill(asked.runs, 0, lambda _: None)
            settings = load({"REPRISE_HOME": folder, "REPRISE_DATABASE_URL": url})
            with closing(Side(asked.mlflow_python, uri)) as side, open_record(settings) as record:
                fill_mlflow(target, asked.runs)
                print(f"{kind}: both filled in {(datetime.now() - start).seconds} s", file=sys.stderr)
                tables |= measured(kind, record, side, asked.runs, asked.rounds)
                version = side.version
    report("history_mlflow", tables, mlflow=version, runs=asked.runs)


if __name__ == "__main__":
    main()
