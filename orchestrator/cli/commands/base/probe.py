"""reprise base probe"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("probe")
@click.argument("reference")
@json_option
def command(reference: str, as_json: bool) -> None:
    """Show what an image offers as a base: its Python, glibc, torch and packages.

    JSON: `executable`, `version`, `purelib`, `glibc`, `machine`, `packages`, `torch`, `cuda`.
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line, table
    from orchestrator.cli.terminal.image_lines import print_python
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bases.manage_bases import probe as probe_image

    with opened() as session:
        python = probe_image(session, reference)
    if as_json:
        print_document(python)
        return
    print_python(python)
    line()
    table(("package", "version"), sorted(python.packages.items()))
