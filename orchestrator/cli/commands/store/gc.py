"""reprise store gc"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option, read_span


@click.command("gc")
@click.option(
    "--older-than",
    metavar="TIME",
    callback=read_span,
    help="Only blobs that nobody stored or met for so long: 12h, 30d; on S3 2h or more.  [default: 24h]",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would go.")
@json_option
def command(older_than: float | None, dry_run: bool, as_json: bool) -> None:
    """Remove blobs that no run names from the store.

    What any run names stays: outputs, logs, traces, patches, of archived runs, too. Others are what
    killed runs left. Each removal is an event of the ledger.

    JSON: `seen`, `young`, `foreign`, `removed`, `bytes`, `events`, `dry_run`.
    """
    from datetime import timedelta

    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line
    from orchestrator.cli.terminal.human_units import size_text, span_text
    from orchestrator.cli.terminal.parts_bar import PartBar
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.garbage import GRACE, collect

    grace = GRACE if older_than is None else timedelta(seconds=older_than)
    with opened() as session, PartBar() as bar:
        tick = bar.step("blobs")
        swept = collect(session, grace, lambda share: tick(round(share * 1000), 1000), dry_run=dry_run)
    if as_json:
        print_document(swept.model_dump(mode="json") | {"dry_run": dry_run})
        return
    verb = "would remove" if dry_run else "removed"
    line(f"{verb} {swept.removed} of {swept.seen} blobs, {size_text(swept.bytes)}")
    if swept.young:
        line(f"{swept.young} are younger than {span_text(grace.total_seconds())} and were left alone")
    for name in swept.foreign[:10]:
        line(f"not a blob, left alone: {name}")
