"""reprise ledger log"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option, read_since

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.record.record import Record


@click.command("log")
@click.option("--run", metavar="RUN", help="Only events of this run.")
@click.option(
    "--kind",
    "kinds",
    metavar="KIND",
    multiple=True,
    help="Only this kind, such as run.finished, or run for all of a run; repeat.",
)
@click.option("--since", metavar="WHEN", callback=read_since, help="Not older than 2d, 3h, or an ISO date.")
@click.option("--by", metavar="WHO", help="Only by this user, or user@machine.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="At most so many events, the newest.",
)
@json_option
def command(
    run: str | None, kinds: tuple[str, ...], since: datetime | None, by: str | None, limit: int, as_json: bool
) -> None:
    """Show what happened, from the ledger, the newest last.

    The name in BY is what the machine said of its user at the time of writing. The ledger shows that nobody
    has changed it since; `reprise audit` checks that.

    JSON: `events`, each with `index`, `at`, `by`, `kind`, `run`, and `data`: the new values of rows; `limit`,
    and `more`: whether there are older ones than these.
    """
    from orchestrator.cli.terminal.console import print_view, tell
    from orchestrator.cli.verb_session import opened
    from orchestrator.record.ledger.read_ledger import EventFilter
    from orchestrator.view.forms.page import Tone
    from orchestrator.view.ledger_view import events_view

    _refuse_unknown(kinds)
    with opened() as session:
        of_run = None if run is None else _find(session.record, run)
        found = session.record.ledger.events(
            EventFilter(run=of_run, kinds=kinds, since=since, by=by, limit=limit + 1)
        )
    more = len(found) > limit
    print_view(events_view(found[-limit:], limit, more), as_json)
    if more:
        tell(f"there are older events than these {limit:,}; --limit shows more of them", Tone.QUIET)


def _refuse_unknown(kinds: tuple[str, ...]) -> None:
    """UsageError for a kind that no event can have."""
    from orchestrator.errors import UsageError
    from orchestrator.message_wording import did_you_mean
    from orchestrator.record.ledger.append_events import KINDS

    known = sorted({*KINDS, *(kind.partition(".")[0] for kind in KINDS)})
    for kind in kinds:
        if kind not in known:
            hint = did_you_mean(kind, known, f"kinds are {', '.join(known)}")
            raise UsageError(f"--kind: there are no events of the kind {kind}", hint)


def _find(record: Record, text: str) -> str:
    """The run's id; also the full id of a run whose row is gone, for the ledger remembers it."""
    from orchestrator.errors import UsageError
    from orchestrator.record.ledger.read_ledger import EventFilter

    try:
        return record.find(text)
    except UsageError:
        if record.ledger.events(EventFilter(run=text.lower(), limit=1)):
            return text.lower()
        raise
