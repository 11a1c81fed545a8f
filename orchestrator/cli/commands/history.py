"""reprise history"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import click

from orchestrator.cli.options import json_option, read_since

if TYPE_CHECKING:
    from orchestrator.record.history.filter_fields import Field
    from orchestrator.record.record import Record
    from orchestrator.record.run_record import Changed, HistoryFilter, RunLine
    from orchestrator.value import Plain

STATES = ("queued", "preparing", "running", "collecting", "succeeded", "failed", "cancelled", "lost")
ASPECTS = ("packages", "code", "params", "seed", "base", "hardware")
BOX_SHOWN = 8  # hex digits of a box that never had a name
COLUMNS = 3  # parameters and metrics with a column of their own; the rest is in `show`


@click.command("history")
@click.option("--job", help="Only runs of this job.")
@click.option("--status", type=click.Choice(STATES), multiple=True, help="Only in this state, or these.")
@click.option("--since", metavar="WHEN", callback=read_since, help="Not older than 2d, 3h, or an ISO date.")
@click.option("--where", metavar="CONDITION", help='Such as "params.lr < 0.1 and metrics.accuracy > 0.9".')
@click.option(
    "--sort", metavar="FIELD", help="Such as metrics.accuracy or -seconds; newest first without it."
)
@click.option("--by", metavar="WHO", help="Only runs that this person submitted.")
@click.option("--box", metavar="BOX", help="Only runs that this box executed: a name, or the id's beginning.")
@click.option("--tag", metavar="TAG", help="Only runs with this tag.")
@click.option("--changed", type=click.Choice(ASPECTS), help="Only runs that differ in it from the last.")
@click.option("--archived", is_flag=True, help="Only runs that were put away; they are left out without it.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many runs.")
@json_option
def command(
    job: str | None,
    status: tuple[str, ...],
    since: datetime | None,
    where: str | None,
    sort: str | None,
    by: str | None,
    box: str | None,
    tag: str | None,
    changed: str | None,
    archived: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, filtered and sorted.

    With --changed, each run is compared with the run of the same job before it, and what differs is listed.

    JSON: `runs`, each with `id`, `job`, `image`, `state`, `failure`, `rerun_of`, `submitted_by`,
    `created_at`, `seconds`, `params`, `metrics` (last values), `reached` (by metric: `last_step`, `min`,
    `min_step`, `max`, `max_step`), `metrics_incomplete` (what could not be read), `verdict`, `box`,
    `box_name`, `tags`, `names`, `archived`, `imported` (the bundle's digest); `limit`, `more` (whether there
    are more runs than these), `notes` (what the answer leaves out, or why it is empty). With --changed:
    `changed`, by run: `before` (the run before), `deltas` (`name`, `before`, `after`).
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import DIM, tell
    from orchestrator.cli.verb_session import opened
    from orchestrator.record.run_record import HistoryFilter
    from orchestrator.run.attempt_model import State

    wanted = HistoryFilter(
        job=job,
        states=tuple(State(word) for word in status),
        since=since,
        where=where,
        sort=sort,
        by=by,
        box=box,
        tag=tag,
        archived=archived,
        limit=limit,
    )
    with opened(adopting=True) as session:
        answer = ask(session.record, wanted, changed)
    if as_json:
        said = {name: getattr(answer, name) for name in ("runs", "limit", "more", "notes")}
        print_document(said | ({} if changed is None else {"changed": answer.changes}))
    else:
        print_runs(answer.runs, answer.changes, answer.sorted_by)
    for note in answer.notes:
        tell(note, DIM)


class Answer(NamedTuple):
    """A page of the history, and what it leaves out."""

    runs: list[RunLine]
    changes: dict[str, Changed] | None
    limit: int
    more: bool
    sorted_by: Field | None
    notes: list[str]


def ask(record: Record, wanted: HistoryFilter, changed: str | None) -> Answer:
    """`wanted` has a limit."""
    from orchestrator.cli.terminal.human_units import incomplete_text
    from orchestrator.record.history.queries import LOOKED_AT

    page = record.history.page(wanted.model_copy(update={"changed": changed}))
    runs, limit = list(page.lines), wanted.limit or len(page.lines)
    more = page.next is not None and not page.left
    sorted_by = None if wanted.sort is None else record.history.field(wanted.sort)
    notes = [] if runs else record.history.why_nothing(wanted)
    if page.left:
        notes.append(f"looked at {LOOKED_AT:,} runs; narrow the rest with --job, --since or --where")
    if runs and sorted_by is not None and value_in(runs[0], sorted_by) is None:
        notes.append(f"none of these runs has {sorted_by}: the newest come first")
    torn = sum(bool(run.metrics_incomplete) for run in runs)
    if torn:
        notes.append(incomplete_text(torn, "these runs"))
    if more:
        these = "this run" if limit == 1 else f"these {limit:,} runs"
        notes.append(f"there are more than {these}; --limit shows more of them")
    changes = None if changed is None else page.changes
    return Answer(runs, changes, limit, more or page.left, sorted_by, notes)


def print_runs(
    runs: Iterable[RunLine], changes: Mapping[str, Changed] | None = None, sorted_by: Field | None = None
) -> None:
    """One line each. The tags, and what changed, have columns where there are any; so has what is sorted by,
    where no other column shows it.
    """
    from orchestrator.cli.terminal.console import line, table

    runs = list(runs)
    if not runs:
        line("no runs")
        return
    columns = {"run": [run.id for run in runs], "job": [run.job for run in runs]}
    if changes is not None:
        columns["changed"] = [changed_text(changes[run.id]) for run in runs]
    if sorted_by is not None and sorted_by.word == "metrics":
        columns[str(sorted_by)] = [sorted_text(run, sorted_by) for run in runs]
    columns |= _columns(runs)
    said = [", ".join((*run.names, *run.tags)) for run in runs]
    if any(said):
        columns["named, tagged"] = said
    table(tuple(columns), list(zip(*columns.values(), strict=True)), right=("time",))


def value_in(run: RunLine, field: Field) -> object:
    """What a run has of a parameter or metric; True of its other fields."""
    if field.word == "params":
        return run.params.get(str(field.name))
    if field.word != "metrics":
        return True
    if field.part.value == "last":
        return run.metrics.get(str(field.name))
    found = run.reached.get(str(field.name))
    return None if found is None else getattr(found, field.part.value)


def sorted_text(run: RunLine, field: Field) -> str:
    """`0.93 at step 40`."""
    from orchestrator.cli.terminal.human_units import number_text, step_text

    value = value_in(run, field)
    if not isinstance(value, float):
        return "-" if value is None else f"{value}"
    return number_text(value) + step_text(getattr(run.reached[str(field.name)], f"{field.part.value}_step"))


def _columns(runs: list[RunLine]) -> dict[str, list[str]]:
    from orchestrator.cli.terminal.human_units import moment_text, number_text, span_text
    from orchestrator.spec.jobfile.placeholders import text_of

    return {
        "state": [
            f"{run.state.value} ({run.failure.value})" if run.failure else run.state.value for run in runs
        ],
        "created": [moment_text(run.created_at) for run in runs],
        "by": [run.submitted_by for run in runs],
        "box": [_box(run) for run in runs],
        "time": [span_text(run.seconds) for run in runs],
        "params": [
            _few([f"{name}={text_of(value)}" for name, value in sorted(run.params.items())]) for run in runs
        ],
        "metrics": [
            _few([f"{name}={number_text(value)}" for name, value in sorted(run.metrics.items())])
            + " INCOMPLETE" * bool(run.metrics_incomplete)
            for run in runs
        ],
        "verdict": [run.verdict or ("rerun" if run.rerun_of else "") for run in runs],
        "image": [run.image.short for run in runs],
    }


def _box(run: RunLine) -> str:
    text = run.box_name or (run.box or "-")[:BOX_SHOWN]
    return f"{text} (imported)" if run.imported else text


def changed_text(changed: Changed) -> str:
    """`torch 2.12 -> 2.13, +x 1.0, -y 2.0`; of files and digests only whether they are new or gone."""
    texts = []
    for delta in changed.deltas:
        name, before, after = delta.name, _value(delta.before), _value(delta.after)
        if delta.before is None:
            texts.append(f"+{name} {after}".rstrip())
        elif delta.after is None:
            texts.append(f"-{name} {before}".rstrip())
        else:
            texts.append(f"{name} {before} -> {after}" if before else name)
    more = len(texts) - COLUMNS
    return ", ".join(texts[:COLUMNS]) + (f" and {more} more" if more > 0 else "")


def _value(value: Plain) -> str:
    """A hash says nothing to a reader."""
    text = str(value)
    return (
        ""
        if re.fullmatch(r"[0-9a-f]{64}", text)
        else re.sub(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}", r"\1", text)
    )


def _few(texts: list[str]) -> str:
    more = f" +{len(texts) - COLUMNS}" if len(texts) > COLUMNS else ""
    return " ".join(texts[:COLUMNS]) + more
