"""reprise data get"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import PathType, json_option, new_path, quiet_option, refuse_existing


@click.command("get")
@click.argument("data", metavar="NAME[@VERSION]|DIGEST")
@click.argument("target", metavar="DIR", type=PathType(), callback=new_path)
@quiet_option
@json_option
def command(data: str, target: Path, quiet: bool, as_json: bool) -> None:
    """Copy named data, or any input by its digest, out of the store.

    A folder becomes the folder DIR, a file the file DIR; nothing may be there yet. Every byte is checked.

    JSON: `digest`, `copied_to`, `name` and `version` (null where a digest was given).
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.inputs.named_data import get_data
    from orchestrator.view.data_view import copied_data_view

    refuse_existing(target, None)
    with opened() as session, watching(as_json, quiet) as watch:
        digest, version = get_data(session, data, target, watch)
    print_view(copied_data_view(digest, version, target), as_json, quiet)
