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
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line, table
    from orchestrator.cli.verb_session import opened
    from orchestrator.image.base.base_pins import flavours, list_pins

    with opened() as session:
        pins = list_pins(session.settings)
        missing = sorted(set(flavours(session.settings)) - {item.name for item in pins})
    if as_json:
        print_document({"bases": pins, "not_pinned": missing})
        return
    where = {True: "for all", False: "on this box"}
    rows = [
        (item.name, item.python.version, item.python.torch or "-", where[item.committed], item.digest)
        for item in pins
    ]
    table(("base", "python", "torch", "pinned", "digest"), rows)
    for name in missing:
        line(f"{name}: not pinned; `reprise base build {name}` makes it")
