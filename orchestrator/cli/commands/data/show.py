"""reprise data show"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("show")
@click.argument("data", metavar="NAME[@VERSION]")
@json_option
def command(data: str, as_json: bool) -> None:
    """Show named data: its versions, its files, and the runs that took it.

    JSON: as of `data list`, with `versions` (all of the name), `listing` (`path`, `digest`, `size`; empty for
    a file, and for a folder of more than 10,000 files), `used_by`: `run`, `job`, `input`, `named` (false: it
    took the same bytes from elsewhere), `submitted_by`, `created_at`.
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.inputs.named_data import find_data
    from orchestrator.view.data_view import shown_data

    with opened() as session:
        version = find_data(session, data)
        sets = session.record.data_sets
        known, uses = sets.known_input(version.digest), sets.uses(version)
        versions = sets.versions(version.name)
    print_view(shown_data(version, versions, known.files if known else (), uses), as_json)
