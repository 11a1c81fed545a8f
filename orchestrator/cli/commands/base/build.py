"""reprise base build"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option, quiet_option


@click.command("build")
@click.argument("flavour")
@click.option("--force", is_flag=True, help="Make it anew though nothing in its recipe has changed.")
@quiet_option
@json_option
def command(flavour: str, force: bool, quiet: bool, as_json: bool) -> None:
    """Make a flavour from its recipe and pin it on this box.

    The digest is the last line of standard output.

    JSON: `name`, `digest`, `config_digest`, `reference`, `layers`, `python`.
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bases.manage_bases import build_base
    from orchestrator.view.image_view import base_view

    with opened() as session, watching(as_json, quiet) as watch:
        made = build_base(session, flavour, watch, force)
    print_view(base_view(made), as_json, quiet)
