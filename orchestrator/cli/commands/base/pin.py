"""reprise base pin"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option, quiet_option


@click.command("pin")
@click.argument("name")
@click.argument("reference")
@quiet_option
@json_option
def command(name: str, reference: str, quiet: bool, as_json: bool) -> None:
    """Pin an image that is there already as the base NAME.

    REFERENCE names it by digest: REPOSITORY@sha256:…, or the engine's own sha256:… of it.

    JSON: as `base build`.
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bases.manage_bases import pin_base
    from orchestrator.view.image_view import base_view

    with opened() as session, watching(as_json, quiet) as watch:
        pinned = pin_base(session, name, reference, watch)
    print_view(base_view(pinned), as_json, quiet)
