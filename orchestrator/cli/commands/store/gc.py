"""reprise store gc"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option, read_span


@click.command("gc")
@click.option(
    "--older-than",
    metavar="TIME",
    callback=read_span,
    help="Only blobs that nothing stored or used for so long: 12h, 30d; on S3 2h or more.  [default: 24h]",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would go.")
@json_option
def command(older_than: float | None, dry_run: bool, as_json: bool) -> None:
    """Remove blobs from the store that nothing in the record names.

    What any run names stays: outputs, logs, traces, patches, inputs, of archived runs, too; and so does
    named data, and what the ledger says of a row that is gone. Others are what killed runs left. Each removal
    is an event of the ledger.

    JSON: `seen`, `young`, `foreign`, `removed`, `bytes`, `only_in_ledger`, `events`, `dry_run`.
    """
    from datetime import timedelta

    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.progress_bar import ProgressBar
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.garbage import GRACE, collect
    from orchestrator.view.box_view import garbage_view

    grace = GRACE if older_than is None else timedelta(seconds=older_than)
    with opened() as session, ProgressBar() as bar:
        tick = bar.step("blobs")
        done = collect(session, grace, lambda share: tick(round(share * 1000), 1000), dry_run=dry_run)
    print_view(garbage_view(done, grace.total_seconds(), dry_run), as_json)
