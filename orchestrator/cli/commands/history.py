"""reprise history"""

from __future__ import annotations

from datetime import datetime

import click

from orchestrator.cli.options import json_option, read_since

STATES = ("queued", "preparing", "running", "collecting", "succeeded", "failed", "cancelled", "lost")
ASPECTS = ("packages", "code", "params", "seed", "base", "hardware")


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
@click.option("--after", metavar="NEXT", help="Only the runs that follow a page: it says so at its end.")
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
    after: str | None,
    as_json: bool,
) -> None:
    """List runs, filtered and sorted.

    With --changed, each run is compared with the run of the same job before it, and what differs is listed.

    JSON: `runs`, each with `id`, `job`, `image`, `state`, `failure`, `rerun_of`, `submitted_by`,
    `created_at`, `seconds`, `params`, `metrics` (last values), `reached` (by metric: `last_step`, `min`,
    `min_step`, `max`, `max_step`), `metrics_incomplete` (what could not be read), `verdict`, `box`,
    `box_name`, `tags`, `names`, `archived`, `imported` (the bundle's digest),
    `operations_of_step` (of a pass of `compare --operations`: the step that it looked at); `limit`, `more`
    (whether there are more runs than these), `next` (for --after; null at the end), `notes` (what the
    answer leaves out, or why it is empty). With --changed: `changed`, by run: `before` (the run before),
    `deltas` (`name`, `before`, `after`).
    """
    from orchestrator.cli.terminal.console import print_view, tell
    from orchestrator.cli.verb_session import opened
    from orchestrator.record.run_record import HistoryFilter
    from orchestrator.run.attempt_model import State
    from orchestrator.view.forms.page import Tone
    from orchestrator.view.runs.history_view import Answer, history_notes, history_view

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
        after=after,
        changed=changed,
    )
    with opened(adopting=True) as session:
        record = session.record
        page = record.history.page(wanted)
        sorted_by = None if sort is None else record.history.field(sort)
        found = Answer(wanted, page, sorted_by, () if page.lines else record.history.why_nothing(wanted))
    print_view(history_view(found), as_json)
    for note in history_notes(found):
        tell(note, Tone.QUIET)
