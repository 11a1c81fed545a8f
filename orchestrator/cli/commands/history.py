"""reprise history"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import PathType, json_option, new_path, read_since, refuse_existing

if TYPE_CHECKING:
    from orchestrator.view.runs.history_view import Answer

STATES = ("queued", "preparing", "running", "collecting", "succeeded", "failed", "cancelled", "lost")
ASPECTS = ("packages", "code", "params", "seed", "base", "inputs", "hardware")


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
@click.option(
    "--changed",
    type=click.Choice(ASPECTS),
    help="Only runs in which this differs from the run before of the same job.",
)
@click.option("--archived", is_flag=True, help="Only runs that were put away; they are left out without it.")
@click.option("--no-reruns", is_flag=True, help="Leave out runs that repeat another.")
@click.option(
    "--columns",
    metavar="NAME,NAME",
    help="Such as run,params.lr,metrics.loss.min,reason; `params`, `logged`, `metrics`, `all`: every one.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: all columns, or those of --columns.")
@click.option(
    "--parquet",
    type=PathType(dir_okay=False),
    callback=new_path,
    help="Write a Parquet file of the same columns; needs pyarrow.",
)
@click.option("--force", is_flag=True, help="With --parquet: replace the file if it is there.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many runs.")
@click.option(
    "--after", metavar="NEXT", help="Go on behind an earlier page, which says this value at its end."
)
@json_option
def command(
    status: tuple[str, ...],
    no_reruns: bool,
    columns: str | None,
    as_csv: bool,
    parquet: Path | None,
    force: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """List runs, filtered and sorted.

    Without --columns, the table shows what differs among the runs and fits into the terminal (80 characters
    elsewhere). In CSV, a text that a spreadsheet would take for a formula has a quote before it.

    With --changed, each run is compared with the run of the same job before it, and what differs is listed.

    JSON: `runs`, each with `id`, `job`, `image`, `state`, `failure`, `rerun_of`, `submitted_by`,
    `created_at`, `seconds`, `params`, `logged` (by the script, for its tracker), `metrics` (last values),
    `reached` (by metric: `last_step`, `min`,
    `min_step`, `max`, `max_step`), `metrics_incomplete` (what could not be read), `verdict`, `box`,
    `box_name`, `tags`, `names`, `archived`, `imported` (the bundle's digest),
    `operations_of_step` (of a pass of `compare --operations`: the step that it looked at), `seed`, `message`
    and `last_line` (of the log; of a run that did not succeed); `limit`, `more`
    (whether there are more runs than these), `next` (for --after; null at the end), `notes` (what the
    answer leaves out, or why it is empty). With --changed: `changed`, by run: `before` (the run before),
    `deltas` (`name`, `before`, `after`).
    """
    if as_json + as_csv + (parquet is not None) > 1:
        raise click.UsageError("--json, --csv and --parquet exclude each other")
    if columns is not None and as_json:
        raise click.UsageError("--columns chooses columns of a table; a document has every field")
    refuse_existing(parquet, force)
    from orchestrator.cli.verb_session import opened
    from orchestrator.record.run_record import HistoryFilter
    from orchestrator.run.attempt_model import State
    from orchestrator.view.runs.history_view import Answer

    states = tuple(State(word) for word in status)
    wanted = HistoryFilter(states=states, reruns=False if no_reruns else None, **filters)
    with opened(adopting=True) as session:
        record = session.record
        page = record.history.page(wanted)
        sorted_by = None if wanted.sort is None else record.history.field(wanted.sort)
        found = Answer(wanted, page, sorted_by, () if page.lines else record.history.why_nothing(wanted))
    if as_csv:
        _print_csv(found, columns)
    elif parquet is not None:
        _write_parquet(found, columns, parquet)
    else:
        _print(found, columns, as_json)


def _print(found: Answer, columns: str | None, as_json: bool) -> None:
    from orchestrator.cli.terminal.console import print_view, tell
    from orchestrator.view.forms.page import Tone
    from orchestrator.view.runs.history_view import history_notes, history_view, shown_columns

    shown = shown_columns(found, columns, shutil.get_terminal_size().columns)
    print_view(history_view(found, shown), as_json)
    for note in [*history_notes(found), *(() if as_json else shown.notes)]:
        tell(note, Tone.QUIET)


def _print_csv(found: Answer, columns: str | None) -> None:
    from orchestrator.cli.terminal.console import tell
    from orchestrator.redaction import redact_known
    from orchestrator.view.forms.page import Tone
    from orchestrator.view.runs.history_view import history_csv, history_notes

    sys.stdout.write(redact_known(history_csv(found, columns)))
    for note in history_notes(found):
        tell(note, Tone.QUIET)


def _write_parquet(found: Answer, columns: str | None, path: Path) -> None:
    from orchestrator.cli.terminal.console import tell
    from orchestrator.view.forms.frames import write_parquet
    from orchestrator.view.forms.page import Tone
    from orchestrator.view.runs.history_view import history_notes
    from orchestrator.view.runs.run_columns import all_columns, chosen_columns, values_in_columns

    runs = found.page.lines
    names = all_columns(runs) if columns is None else chosen_columns(columns, runs)
    write_parquet(values_in_columns(runs, names), path)
    tell(f"{len(runs):,} runs in {path}")
    for note in history_notes(found):
        tell(note, Tone.QUIET)
