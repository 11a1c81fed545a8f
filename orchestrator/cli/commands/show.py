"""reprise show"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.launch.session import Session
    from orchestrator.record.run_record import RunRecord


@click.command("show")
@click.argument("run")
@click.option("--packages", is_flag=True, help="List the packages that were found in the container.")
@click.option("--metric", metavar="NAME", help="Show this metric's points as a curve.")
@click.option("--series", is_flag=True, help="With --json or --csv: every point of every metric.")
@click.option("--csv", "as_csv", is_flag=True, help="With --metric or --series: print the points as CSV.")
@click.option("--patch", is_flag=True, help="Print what the source changed against its commit, and no more.")
@click.option("--raw", is_flag=True, help="With --patch: the exact bytes, as `git apply` takes them.")
@json_option
def command(
    run: str,
    packages: bool,
    metric: str | None,
    series: bool,
    as_csv: bool,
    patch: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """Show one run.

    JSON: the run as one object, with `state`, `failure`, `image`, `program`, `logged` (parameters that the
    script logged for its tracker, by name: `value`, `source`), `metrics`, `outputs`,
    `packages`, `fingerprint`, `git`, `readbacks`, `flags_changed`, `log`, `notes`, the rest of the
    record, and `verdicts` in which it is the rerun or the original; `said`: `notes` of people (`by`, `at`,
    `text`), `tags`, `names`, `archived` (`by`, `at`, or null); `untrue_origins`: inputs of an imported run
    that are not what it says they are, by this record. With --patch, `patch` as text, too.
    """
    if raw and (as_json or not patch):
        raise click.UsageError("--raw goes with --patch, and not with --json")
    if as_csv and (as_json or not (series or metric)):
        raise click.UsageError("--csv goes with --metric or --series, and not with --json")
    if metric is not None or as_csv:
        _points(run, metric, as_csv, as_json)
        return
    from orchestrator.cli.terminal.console import print_document, print_view
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.view.runs.run_view import shown_run

    with opened(adopting=True) as session:
        record = find_run(session, run, points=series)
        verdicts = session.record.history.verdicts(record.id)
        marks = session.record.annotations.marks(record.id)
        changed = read_patch(session, record) if patch else b""
        waiting = _why_waiting(session, record)
        untrue = session.record.history.untrue_origins(record.id)
    view = shown_run(
        record, marks, verdicts, series=series, packages=packages, waiting=waiting, untrue=untrue
    )
    if patch and as_json:
        print_document({**view.document, "patch": changed.decode("utf-8", "replace")})
    elif patch:
        write_patch(changed, raw)
    else:
        print_view(view, as_json)


def _points(run: str, metric: str | None, as_csv: bool, as_json: bool) -> None:
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.redaction import redact_known
    from orchestrator.run.metrics.series import points_of
    from orchestrator.view.runs.curve_view import curve_view, series_csv

    with opened(adopting=True) as session:
        record = find_run(session, run, points=metric is None)
        if metric is None:
            points = list(points_of(record.series))
        else:
            points = session.record.points_named(record, metric)
    if as_csv:
        sys.stdout.write(redact_known(series_csv(points)))
    elif metric is not None:
        print_view(curve_view(record, metric, points, shutil.get_terminal_size().columns), as_json)


def write_patch(patch: bytes, raw: bool) -> None:
    from orchestrator.cli.terminal.console import show, tell
    from orchestrator.view.forms.page import Patch

    if raw:
        sys.stdout.buffer.write(patch)
    elif patch:
        show([Patch(patch.decode("utf-8", "replace"))])
    else:
        tell("the source was that of its commit: there is no patch")


def read_patch(session: Session, record: RunRecord) -> bytes:
    """What turns the commit into the source that ran; empty if that was the commit itself.

    UsageError if there is no commit or no patch was kept; StoreError if this box's store lacks the patch.
    """
    from orchestrator.errors import UsageError

    git = record.git
    if git is None:
        raise UsageError(
            f"the source of run {record.id} was in no git repository",
            "`reprise diff RUN RUN --code` compares source files",
        )
    if git.dirty and git.patch_digest is None:
        raise UsageError(
            f"the patch of run {record.id} was too long to be kept",
            "the source is in the image all the same: `reprise diff RUN RUN --code`",
        )
    if git.patch_digest is None:
        return b""
    return session.store.read(git.patch_digest)


def _why_waiting(session: Session, record: RunRecord) -> str:
    """Why no box has taken a run yet; empty for a run that is not queued for other boxes."""
    from orchestrator.run.attempt_model import State

    if record.state is not State.QUEUED:
        return ""
    from orchestrator.launch.dispatch.dispatch_run import why_queued

    return why_queued(session, record.id, record.wanted.executor)
