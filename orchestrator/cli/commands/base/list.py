"""reprise base list"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List the pinned bases, and the flavours that are not pinned yet.

    JSON: `bases` (`name`, `digest`, `config_digest`, `reference`, `committed`, `python`), `not_pinned`.
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import opened
    from orchestrator.image.base.base_pins import flavours, list_pins
    from orchestrator.view.image_view import bases_view

    with opened() as session:
        pins = list_pins(session.settings)
        not_pinned = sorted(set(flavours(session.settings)) - {item.name for item in pins})
    print_view(bases_view(pins, not_pinned), as_json)
