"""reprise data add"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import PathType, json_option, quiet_option


@click.command("add")
@click.argument("path", type=PathType())
@click.option("--name", metavar="NAME", help="Its name; default: the path's last part.")
@quiet_option
@json_option
def command(path: Path, name: str | None, quiet: bool, as_json: bool) -> None:
    """Put a file or folder into the store under a name and the next version.

    A job file then says `data:NAME`, the last version, or `data:NAME@3`. The same bytes again are the version
    that they were. With --quiet only NAME@VERSION is printed.

    JSON: `name`, `version`, `digest`, `folder`, `files`, `size`, `by`, `at`, `new` (false: it was there),
    `last` (the name's last version).
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.inputs.named_data import add_data
    from orchestrator.view.data_view import added_view

    with opened() as session:
        with watching(as_json, quiet) as watch:
            version, new = add_data(session, path, name, watch)
        last = session.record.data_sets.find(version.name)
    print_view(added_view(version, last, new), as_json, quiet)
