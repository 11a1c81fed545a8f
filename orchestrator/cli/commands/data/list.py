"""reprise data list"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List named data: the last version of each name.

    JSON: `data`, all versions of all names, sorted by name, the last version of each first: `name`,
    `version`, `digest`, `folder`, `files`, `size`, `by`, `at`.
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import opened
    from orchestrator.view.data_view import list_view

    with opened() as session:
        versions = session.record.data_sets.versions()
    print_view(list_view(versions), as_json)
