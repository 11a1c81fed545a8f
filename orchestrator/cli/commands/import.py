"""reprise import"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option, quiet_option

if TYPE_CHECKING:
    from orchestrator.launch.bundles.import_bundle import ImportedBundle


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
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bundles.import_bundle import import_bundle

    with opened() as session, watching(as_json, quiet) as watch:
        done = import_bundle(session, file.expanduser(), watch)
    if as_json:
        print_document(done)
        return
    if not quiet:
        _print(done)
    line(done.image)


def _print(done: ImportedBundle) -> None:
    from orchestrator.cli.terminal.console import fields, line

    new = [item.run for item in done.runs if item.new]
    verdicts = sum(item.verdicts for item in done.runs)
    fields(
        [
            ("job", done.name),
            ("new runs", " ".join(new) or "none"),
            ("known", " ".join(item.run for item in done.runs if not item.new)),
            ("verdicts", f"{verdicts} new" if verdicts else ""),
            ("inputs", " ".join(item.digest for item in done.inputs)),
        ]
    )
    line(f"next: reprise rerun {done.image[:19]}")
