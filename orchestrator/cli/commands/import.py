"""reprise import"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import json_option, quiet_option


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@quiet_option
@json_option
def command(file: Path, quiet: bool, as_json: bool) -> None:
    """Take in a file of `reprise export`: image, runs, evidence, inputs.

    Every byte is checked against its digest before it has a name. A run that is here with the same values
    stays as it is; one with other values is refused, and nothing is recorded then. Afterwards
    `reprise rerun DIGEST` needs no network.

    JSON: `bundle` (digest), `image`, `name`, `runs` (each with `run`, `new`, `verdicts`: how many were
    new), `inputs` (`digest`, `folder`), `left_out` (layers of the base).
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bundles.import_bundle import import_bundle
    from orchestrator.view.bundle_view import imported_view

    with opened() as session, watching(as_json, quiet) as watch:
        done = import_bundle(session, file.expanduser(), watch)
    print_view(imported_view(done), as_json, quiet)
