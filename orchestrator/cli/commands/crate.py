"""reprise crate"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import json_option, quiet_option, read_paths


@click.command("crate")
@click.argument("run")
@click.argument("target", metavar="FOLDER|FILE.zip", type=click.Path(path_type=Path))
@click.option("--inputs", is_flag=True, help="Take the input data along.")
@click.option(
    "--input",
    "paths",
    metavar="NAME=PATH",
    multiple=True,
    callback=read_paths,
    help="Where an input lies on this box; goes with --inputs.",
)
@click.option("--licence", metavar="URL|TEXT", help="Under which licence others get it.")
@click.option("--force", is_flag=True, help="Replace FILE.zip if it is there.")
@quiet_option
@json_option
def command(
    run: str,
    target: Path,
    inputs: bool,
    paths: dict[str, Path],
    licence: str | None,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write a finished run with its files as an RO-Crate, for archives and other tools.

    Program, source, outputs, log and traces, described in the Workflow Run Crate profile: parameters,
    metrics, packages, container image, who, when, verdicts. Every byte is checked while it is copied. The
    same run with the same verdicts gives the same bytes.

    JSON: `path`, `run`, `files`, `size` (bytes), `left_out` (what is not in it, and why).
    """
    from orchestrator.audit.exports.crate.write_crate import CrateRequest, write_crate
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import DIM, fields, line
    from orchestrator.cli.terminal.human_units import size_text
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import find_run, opened

    request = CrateRequest(
        path=target.expanduser().absolute(),
        inputs=inputs or bool(paths),
        input_paths=paths,
        licence=licence,
        force=force,
    )
    with opened() as session, watching(as_json, quiet) as watch:
        done = write_crate(session, find_run(session, run), request, watch)
    if as_json:
        print_document(done)
        return
    if not quiet:
        fields([("run", done.run), ("files", f"{done.files}, {size_text(done.size)}")])
        for text in done.left_out:
            line(f"left out: {text}", DIM)
    line(str(done.path))
