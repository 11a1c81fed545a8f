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
    from orchestrator.cli.json_document import jsonable, print_document
    from orchestrator.cli.terminal.console import fields, line, table
    from orchestrator.cli.terminal.image_lines import layers_document, print_layers, print_program
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.submit.rerun_target import resolve

    with opened() as session:
        found = resolve(session, target)
    image = found.image
    if as_json:
        document = {name: jsonable(getattr(image, name)) for name in ("digest", "config_digest", "base")}
        document |= {name: jsonable(getattr(found, name)) for name in ("packages", "program", "reference")}
        print_document(document | {"layers": layers_document(image.layers)})
        return
    fields(
        [
            ("image", image.digest),
            ("config", image.config_digest),
            ("base", f"{image.base.name}  {image.base.digest}"),
            ("engine's", found.reference),
        ]
    )
    print_program(found.program)
    line()
    print_layers(image.layers)
    if found.packages:
        line()
        table(("package", "version"), sorted(found.packages.items()))
