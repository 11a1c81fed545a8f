"""reprise ledger export"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import PathType, json_option, new_path


@click.command("export")
@click.argument("folder", metavar="DIR", type=PathType(), callback=new_path)
@click.option("--blobs", is_flag=True, help="The stored bytes, too.")
@json_option
def command(folder: Path, blobs: bool, as_json: bool) -> None:
    """Write the ledger and its rows into a folder, for others to audit.

    The new folder DIR gets events, rows, signed tree heads and this box's public key. Who has it needs
    neither database nor engine: `reprise audit --offline DIR --key KEY`.

    JSON: `folder`, `events`, `runs`, `blobs`, `copied`, `missing`.
    """
    from orchestrator.audit.exports.export_ledger import export
    from orchestrator.cli.terminal.console import line, print_document
    from orchestrator.cli.terminal.progress_bar import ProgressBar
    from orchestrator.cli.verb_session import opened
    from orchestrator.message_wording import count

    with opened() as session, ProgressBar() as bar:
        done = export(session, folder, bar.step("export"), blobs=blobs)
    if as_json:
        print_document(done.model_dump(mode="json"))
        return
    stored = count(done.blobs, "blob")
    bytes_of = f"{done.copied} of {stored}" if blobs else f"the digests of {stored}"
    line(f"{folder}: {count(done.events, 'event')}, {count(done.runs, 'run')}, {bytes_of}")
    if done.missing:
        line(f"not in the store: {count(done.missing, 'blob')} (`reprise audit --only blobs`)")
    line(f"others check it with your public key (`reprise ledger key`): reprise audit --offline {folder}")
