"""reprise ledger sign"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import json_option
from orchestrator.typed_path import path_to_write


@click.command("sign")
@click.option("--to", "target", metavar="PATH|git", help="Copy the signed tree heads to a file or into git.")
@json_option
def command(target: str | None, as_json: bool) -> None:
    """Print the ledger's latest signed tree head; sign one where it has grown.

    A tree head is the ledger's size and root; it is signed with this box's key (`reprise ledger key`), at
    each run's end, too. It proves the past only to people who kept a copy outside of the record, so copy it
    where the database's owner cannot write:

    \b
    --to PATH  appends those that the file lacks, one after the other, in one write
    --to git   commits them to the branch reprise-checkpoints of the repository of
               the current folder, one file per ledger; the work tree, the index
               and other branches are not touched. Push it to where history is
               protected: git push origin reprise-checkpoints

    A copy that contradicts the ledger is exit code 6, and nothing is copied.

    JSON: `origin`, `size`, `text`, `at`, `new` (it was signed just now), `copied` (how many; null without
    --to). Of an empty ledger: `size` 0, and `text` and `at` null.
    """
    from orchestrator.audit.heads.signed_heads import copy_to_file, copy_to_git, sign_ledger
    from orchestrator.cli.terminal.console import line, print_document, tell
    from orchestrator.cli.verb_session import opened
    from orchestrator.errors import UsageError
    from orchestrator.message_wording import count

    path = None if target is None or target == "git" else path_to_write(Path(target), appending=True)
    if path is not None and path.is_dir():
        raise UsageError(f"{path} is a folder", "name the file that is to be written in it")
    with opened() as session:
        new = sign_ledger(session) is not None
        origin, last = session.record.ledger.head().origin, session.record.ledger.latest_signed_head()
        copied = None
        if target is not None:
            copied = copy_to_git(session, Path.cwd()) if path is None else copy_to_file(session, path)
    if as_json:
        head = {"size": last.size, "text": last.text, "at": last.at} if last else {"size": 0, "text": None}
        print_document({"origin": origin, "at": None, **head, "new": new, "copied": copied})
        return
    line(last.text.removesuffix("\n") if last else "the ledger is empty: nothing was recorded yet")
    if copied is not None:
        tell(
            f"{count(copied, 'signed tree head')} copied to {target}" if copied else f"{target} had them all"
        )
