"""reprise history"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option, read_since

if TYPE_CHECKING:
    from orchestrator.record.model import RunLine

STATES = ("queued", "preparing", "running", "collecting", "succeeded", "failed", "cancelled", "lost")
COLUMNS = 3  # parameters and metrics with a column of their own; the rest is in `show`


@click.command("history")
@click.option("--job", help="Only runs of this job.")
@click.option("--status", type=click.Choice(STATES), multiple=True, help="Only in this state, or these.")
@click.option("--since", metavar="WHEN", callback=read_since, help="Not older than 2d, 3h, or an ISO date.")
@click.option("--where", metavar="CONDITION", help='Such as "params.lr < 0.1 and metrics.accuracy > 0.9".')
@click.option(
    "--sort", metavar="FIELD", help="Such as metrics.accuracy or -seconds; newest first without it."
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many runs.")
@json_option
def command(
    job: str | None,
    status: tuple[str, ...],
    since: datetime | None,
    where: str | None,
    sort: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, filtered and sorted.

    JSON: `runs`, each with `id`, `job`, `image`, `state`, `failure`, `rerun_of`, `submitted_by`,
    `created_at`, `seconds`, `params`, `metrics`, `verdict`.
    """
    from orchestrator.cli.box import opened
    from orchestrator.cli.document import print_document
    from orchestrator.record.model import HistoryFilter
    from orchestrator.run.model import State

    states = tuple(State(word) for word in status)
    wanted = HistoryFilter(job=job, states=states, since=since, where=where, sort=sort, limit=limit)
    with opened(adopting=True) as session:
        runs = session.record.history(wanted)
    if as_json:
        print_document({"runs": runs})
    else:
        print_runs(runs)


def print_runs(runs: Iterable[RunLine]) -> None:
    from orchestrator.cli.console import line, table
    from orchestrator.cli.text import moment_text, number_text, span_text
    from orchestrator.spec.placeholders import text_of

    runs = list(runs)
    if not runs:
        line("no runs")
        return
    rows = [
        (
            run.id,
            run.job,
            f"{run.state.value} ({run.failure.value})" if run.failure else run.state.value,
            moment_text(run.created_at),
            span_text(run.seconds),
            _few([f"{name}={text_of(value)}" for name, value in sorted(run.params.items())]),
            _few([f"{name}={number_text(value)}" for name, value in sorted(run.metrics.items())]),
            run.verdict or ("rerun" if run.rerun_of else ""),
            run.image.short,
        )
        for run in runs
    ]
    headers = ("run", "job", "state", "created", "time", "params", "metrics", "verdict", "image")
    table(headers, rows, right=("time",))


def _few(texts: list[str]) -> str:
    more = f" +{len(texts) - COLUMNS}" if len(texts) > COLUMNS else ""
    return " ".join(texts[:COLUMNS]) + more
