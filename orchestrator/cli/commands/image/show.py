"""reprise image show"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("show")
@click.argument("target", metavar="DIGEST|RUN")
@json_option
def command(target: str, as_json: bool) -> None:
    """Show the layers, program and packages of an image.

    JSON: `digest`, `config_digest`, `base`, `layers`, `packages`, `program`, `reference`.
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.submit.rerun_target import resolve
    from orchestrator.view.image_view import image_view

    with opened() as session:
        found = resolve(session, target)
    print_view(image_view(found), as_json)
