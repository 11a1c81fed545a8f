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
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bases.probe_python import probe_python
    from orchestrator.view.image_view import python_view

    with opened() as session:
        python = probe_python(session.engine, reference)
    print_view(python_view(python), as_json)
