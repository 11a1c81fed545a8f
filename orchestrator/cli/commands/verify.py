"""reprise verify"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.launch.judge.verify_verdicts import VerifiedVerdict
    from orchestrator.launch.session import Session


SHOWN = 20  # verdicts up to which those that agree are listed, too


@click.command("verify")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--job", help="Every verdict on runs of this job.")
@click.option("--all", "everything", is_flag=True, help="Every verdict of the record.")
@json_option
def command(runs: tuple[str, ...], job: str | None, everything: bool, as_json: bool) -> int:
    """Compute stored verdicts once more from the stored evidence.

    For each run, every verdict in which it is the rerun is set beside the one that the records, outputs
    and traces give now. Nothing is run and nothing is written. To see whether two runs agree, use
    `compare`. The exit code is 0 where all agree, else 6.

    JSON: `verdicts` (`run`, `original`, `stored`, `recomputed`, `finding` (`agrees`, `differs`,
    `damaged`), `summary` of today, `differences`, `missing`, `damaged`), `without_verdict`.
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.bar import with_bar
    from orchestrator.cli.verb_session import opened
    from orchestrator.errors import ExitCode
    from orchestrator.launch.judge.verify_verdicts import judged_runs, stored_verdicts, verify

    if bool(runs) + (job is not None) + everything != 1:
        raise click.UsageError("name runs, or give --job or --all: one of the three")
    with opened() as session:
        chosen = _named(session, runs) if runs else judged_runs(session, job)
        lines = stored_verdicts(session, chosen)
        judged = {line.run for line in lines}
        without = [run for run in chosen if run not in judged]
        if not lines and not everything:
            _refuse(session, without, job)
        checked = list(with_bar(verify(session, lines), len(lines), "verifying"))
    if as_json:
        print_document({"verdicts": checked, "without_verdict": without})
    else:
        print_checked(checked, without)
    return ExitCode.OK if all(item.sound for item in checked) else ExitCode.AUDIT


def _named(session: Session, runs: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(session.record.find(run) for run in runs))


def _refuse(session: Session, runs: list[str], job: str | None) -> None:
    """Nothing of what was named was judged, so nothing was verified: not the same as all is well."""
    from orchestrator.errors import UsageError

    if job is not None:
        raise UsageError(
            f"no verdict on a run of the job {job} is recorded", "`reprise history` shows jobs and verdicts"
        )
    reruns = dict.fromkeys(line.run for run in runs for line in session.record.verdicts(run))
    if reruns:
        hint = f"verdicts are on reruns; of these runs: reprise verify {' '.join(list(reruns)[:3])}"
    elif len(runs) == 2:
        hint = f"to compare the two: reprise compare {' '.join(runs)}"
    else:
        hint = f"`reprise rerun {runs[0]}` makes one"
    named = ", ".join(runs[:3]) + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")
    raise UsageError(f"no verdict on {named} is recorded, so there is nothing to verify", hint)


def print_checked(checked: list[VerifiedVerdict], without: list[str]) -> None:
    from orchestrator.cli.terminal import console

    shown = checked if len(checked) <= SHOWN else [item for item in checked if not item.sound]
    rows = [(item.finding.value, item.run, item.original, item.stored, item.recomputed) for item in shown]
    if rows:
        console.table(("finding", "run", "original", "stored", "recomputed"), rows)
    for item in shown:
        details = [
            *item.differences,
            *(f"missing in the store: {name}" for name in item.missing),
            *(f"other bytes in the store than recorded: {name}" for name in item.damaged),
        ]
        if details:
            console.line(f"\n{item.run}", console.BOLD)
        for text in details:
            console.line(f"  {text}")
    for run in without:
        console.line(f"run {run}: no verdict on it is recorded")
    sound = sum(item.sound for item in checked)
    if sound == len(checked):
        console.line(f"{sound:,} of {len(checked):,} verdicts agree with their evidence", console.GOOD)
    else:
        console.line(f"\n{sound:,} of {len(checked):,} verdicts agree with their evidence", console.BAD)
