"""reprise base new"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option, quiet_option


@click.command("new")
@click.argument("name")
@click.option("--from", "parent", required=True, metavar="BASE", help="The base that it is like: cuda, cpu.")
@click.option(
    "--requirement",
    "requirements",
    multiple=True,
    required=True,
    metavar="PACKAGE",
    help="A package that it has, or has in another version: torch==2.9.*. May be given several times.",
)
@quiet_option
@json_option
def command(name: str, parent: str, requirements: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Make a flavour of your own, like another base but for some packages.

    The packages are locked for the base's Python. `reprise base build NAME` then makes it, and a job file
    asks for it with `base: NAME`.

    JSON: `name`, `parent`, `lock`, `packages`, `changed` (`name`, `before`, `after`).
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bases.new_flavour import new_flavour
    from orchestrator.view.image_view import new_flavour_view

    with opened() as session, watching(as_json, quiet) as watch:
        made = new_flavour(session.settings, name, parent, requirements, watch)
    print_view(new_flavour_view(made), as_json, quiet)
