"""Questions to a long history, and what a new run costs in it, on SQLite and on Postgres.

    python benchmarks/history_scale.py [--runs 1000000] [--points 10000000] [--rounds 20] [--database URL ...]

In process and warm: from the call of the record to its answer, with the lines' parameters and metrics read.
Beside it one whole command, and submitting, claiming and finishing a run in the long record beside an empty
one. `--database` (repeatable) measures one that stays: it is filled if it is empty. Without it, a file and a
server of our own, removed at the end.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

from history_rows import APART, FIRST, SHARED_FILE, Filling, output_digest, run_id, size_of
from rounds import command, environ, measure, report, timed
from scratch import REPRISE
from support.records import finish_run, kept, new_run
from support.services import postgres_server

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.record.database.connect import open_database
from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import HistoryFilter
from orchestrator.run.attempt_model import MetricPoint, State
from orchestrator.settings import load

LIMIT = 100
PAIR = "params.lr < 0.01 and metrics.accuracy > 0.9"
SERIES = 10_000  # points of the run with a long series
Action = Callable[[], object]


def histories(record: Record, runs: int) -> dict[str, Action]:
    """The first hundred runs; those that were put away are left out, as the command does."""

    def history(**wanted: Any) -> Action:
        return lambda: record.history.lines(HistoryFilter(limit=LIMIT, archived=False, **wanted))

    late = FIRST + timedelta(seconds=APART * runs * 0.99)
    half = FIRST + timedelta(seconds=APART * runs * 0.5)
    return {
        "newest": history(),
        "--job": history(job="job-03"),
        "--status failed": history(states=(State.FAILED,)),
        "--since, the last hundredth": history(since=late),
        "two conditions, sorted by one": history(where=PAIR, sort="metrics.accuracy"),
        "the same, descending": history(where=PAIR, sort="-metrics.accuracy"),
        "fits nothing, sorted": history(
            where="params.lr < 0.01 and metrics.accuracy > 2", sort="-metrics.f1"
        ),
        "fits all, sorted by another": history(
            where="params.lr < 2 and metrics.loss > 0", sort="-metrics.f1"
        ),
        "--since half of it, sorted": history(since=half, sort="-metrics.accuracy"),
        "--sort seconds": history(sort="seconds"),
        "--sort -seconds": history(sort="-seconds"),
        "--sort by the best point": history(sort="-metrics.accuracy.max"),
        "a best point, rare, sorted by another": history(
            where="metrics.loss.min < 0.0003", sort="-metrics.accuracy.max"
        ),
        "--sort by five equal values": history(sort="-params.batch"),
        "--sort by a text": history(sort="params.optimizer"),
        "text parameter, rare": history(where="params.model == 'net-3-77'"),
        "text parameter, common, sorted": history(where="params.optimizer == 'adam'", sort="metrics.loss"),
        "--job, sorted, all others before it": history(job="job-04", sort="metrics.loss"),
        "--by somebody unknown": history(by="nobody", sort="-metrics.accuracy"),
    }


def others(record: Record, runs: int) -> dict[str, Action]:
    made, never = Digest(output_digest(_with_outputs(record, runs), "model.pt")), Digest.of(b"made by no run")
    common = Digest(output_digest(3, SHARED_FILE))
    middle = run_id(runs // 2)
    return {
        "best": lambda: record.history.best("job-03", "accuracy"),
        "best --minimize, all others before it": lambda: record.history.best("job-04", "loss", minimize=True),
        "best --last": lambda: record.history.best("job-03", "accuracy", last=True),
        "best of an unknown metric": lambda: _refused(lambda: record.history.best("job-03", "none")),
        "origin, made by one run": lambda: record.history.origin([made]),
        "origin, made by none": lambda: (record.history.origin([never]), record.history.mentions([never])),
        "origin, left by thousands": lambda: record.history.origin([common]),
        "show": lambda: (
            record.run(middle),
            record.history.verdicts(middle),
            record.annotations.marks(middle),
        ),
        "find by a beginning": lambda: record.find(middle[:10]),
    }


def limits(record: Record) -> dict[str, Action]:
    """What no index narrows far: every condition fits a hundredth of the runs, or hundreds of thousands."""

    def history(where: str | None, sort: str, tag: str | None = None) -> Action:
        wanted = HistoryFilter(limit=LIMIT, archived=False, where=where, sort=sort, tag=tag)
        return lambda: record.history.lines(wanted)

    return {
        "a tag of a hundredth of the runs, sorted": history(None, "-metrics.accuracy", "keep"),
        "fitting runs at the far end of the order": history("metrics.accuracy > 0.9", "-metrics.loss"),
        "each condition fits many, together none": history(
            "metrics.accuracy > 0.8 and metrics.f1 < 0.7", "-metrics.loss"
        ),
        "`or` of what fits nothing": history("metrics.accuracy > 2 or params.lr > 7", "-metrics.loss"),
    }


def _with_outputs(record: Record, runs: int) -> int:
    """A run in the middle that left files."""
    return next(n for n in range(runs // 2, runs) if record.run(run_id(n)).outputs)


def _refused(action: Action) -> None:
    try:
        action()
    except UsageError:
        return
    raise AssertionError("there is no such metric")


def a_life(record: Record, points: int = 0) -> None:
    """Submit, claim and finish a run with 5 parameters, 5 metrics, 3 outputs and a series."""
    params = {"amp": True, "batch": 64, "lr": 0.01, "model": "net", "optimizer": "adam"}
    new = new_run(job="job-03", params=params, seed=0)
    names = ("model.pt", "metrics.json", "config.json")
    run = finish_run(
        record,
        new,
        metrics=dict.fromkeys(("accuracy", "epochs", "f1", "loss", "val/loss"), 0.5),
        outputs=tuple(kept(f"out/{name}", new.id + name) for name in names),
        series=tuple(MetricPoint(name="loss", step=step, value=1 / (step + 1)) for step in range(points)),
    )
    if points:
        assert len(record.run_with_points(run).series) == points


def measured(url: str, empty_url: str, home: str, runs: int, rounds: int) -> dict[str, Any]:
    """Table title -> seconds by variant."""
    kind = "SQLite" if url.startswith("sqlite") else "Postgres"
    title = f"{kind}, {runs:,} runs"
    settings = load({"REPRISE_HOME": home, "REPRISE_DATABASE_URL": url})
    empty_settings = load({"REPRISE_HOME": home, "REPRISE_DATABASE_URL": empty_url})
    found: dict[str, Any] = {}
    with open_record(settings) as record, open_record(empty_settings) as empty:

        def asked(actions: Mapping[str, Action], times: int) -> dict[str, list[float]]:
            return measure({name: lambda one=one: timed(one) for name, one in actions.items()}, times)

        found[f"{title}: history"] = asked(histories(record, runs), rounds)
        found[f"{title}: best, origin, show"] = asked(others(record, runs), rounds)
        found[f"{title}: where no index helps much"] = asked(limits(record), 5)
        a_life(empty)
        lives = {"empty record": lambda: a_life(empty), title: lambda: a_life(record)}
        found[f"{title}: submit, claim and finish a run"] = asked(lives, 3 * rounds)
        long = {"empty record": lambda: a_life(empty, SERIES), title: lambda: a_life(record, SERIES)}
        found[f"{title}: the same with {SERIES:,} points, and read it"] = asked(long, rounds)
    words = [REPRISE, "history", "--where", PAIR, "--sort", "metrics.accuracy", "--limit", str(LIMIT)]
    variants = {
        "reprise history of an empty record": _command(words, home, empty_url),
        f"reprise history of {runs:,} runs": _command(words, home, url),
    }
    found[f"{title}: the whole command"] = measure(variants, max(3, rounds // 3))
    return found


def _command(words: list[str], home: str, url: str) -> Callable[[], float]:
    return command(words, environ(REPRISE_HOME=home, REPRISE_DATABASE_URL=url))


@contextmanager
def databases(asked: argparse.Namespace) -> Iterator[list[tuple[str, str]]]:
    """(URL of the long record, URL of an empty one), and a place where both are gone at the end."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="reprise-history-"))
        found = []
        for number, url in enumerate(asked.database):
            if url.startswith("sqlite"):
                found.append((url, f"sqlite:///{folder}/empty{number}.db"))
            else:
                name = f"empty{secrets.token_hex(4)}"
                _sql(url, f"CREATE DATABASE {name}")
                stack.callback(_sql, url, f"DROP DATABASE {name} WITH (FORCE)")
                found.append((url, f"{url.rpartition('/')[0]}/{name}"))
        if not asked.database:
            server = stack.enter_context(postgres_server())
            server.sql("CREATE DATABASE empty")
            found.append((f"sqlite:///{folder}/long.db", f"sqlite:///{folder}/empty.db"))
            found.append((server.url(), server.url("empty")))
        yield found


def _sql(url: str, text: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text)


def filled(url: str, asked: argparse.Namespace) -> float:
    """Seconds that it took; 0.0 for what was filled before."""
    filling = Filling(url)
    with open_record(load({"REPRISE_DATABASE_URL": url})) as record:
        if record.history.lines(HistoryFilter(limit=1)):
            return 0.0
    start = time.perf_counter()
    filling.fill(asked.runs, asked.points, lambda said: print(f"  {said}", file=sys.stderr, flush=True))
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--points", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--database", action="append", default=[], metavar="URL")
    asked = parser.parse_args()
    tables: dict[str, Any] = {}
    facts: dict[str, Any] = {"runs": asked.runs, "points": asked.points}
    with databases(asked) as found, tempfile.TemporaryDirectory() as home:
        for url, empty_url in found:
            kind = "sqlite" if url.startswith("sqlite") else "postgres"
            took = filled(url, asked)
            facts |= {f"{kind}_fill_seconds": round(took, 1)} if took else {}
            facts[f"{kind}_bytes"] = size_of(open_database(url))
            tables |= measured(url, empty_url, home, asked.runs, asked.rounds)
    report("history_scale", tables, **facts)


if __name__ == "__main__":
    main()
