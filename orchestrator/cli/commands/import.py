"""reprise import"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import PathType, json_option, quiet_option


@click.command("import")
@click.argument("file", type=PathType())
@quiet_option
@json_option
def command(file: Path, quiet: bool, as_json: bool) -> None:
    """Take in a file of `reprise export`: image, runs, evidence, inputs.

    Every byte is checked against its digest before it has a name. A run that is here with the same values
    stays as it is; one with other values is refused, and nothing is recorded then. Afterwards
    `reprise rerun DIGEST` needs no network. An alias, a tag or an archiving that somebody here decided later,
    and a name of data with other bytes here, stays as it is, and is named.

    JSON: `bundle` (digest), `image`, `name`, `runs` (each with `run`, `new`, `verdicts`: how many were
    new), `inputs` (`digest`, `folder`), `left_out` (layers of the base). Of `export --all`: `record`
    (digest), `runs`, `remarks` (how many notes, tags … were new), `kept` (aliases that stay as they are
    here), `marks_kept` (tags and archivings that do), `data` (versions of named data that were new),
    `data_kept` (names whose bytes here are others).
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bundles.import_bundle import import_bundle
    from orchestrator.launch.bundles.record_file import import_record, is_record_file
    from orchestrator.typed_path import typed_path
    from orchestrator.view.bundle_view import imported_record_view, imported_view

    path = typed_path(file)
    with opened() as session, watching(as_json, quiet) as watch:
        if is_record_file(path):
            view = imported_record_view(import_record(session, path, watch))
        else:
            view = imported_view(import_bundle(session, path, watch))
    print_view(view, as_json, quiet)
