"""reprise export"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import json_option, quiet_option, read_paths


@click.command("export")
@click.argument("target", metavar="DIGEST|RUN")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--inputs", is_flag=True, help="Take the input data along.")
@click.option(
    "--input",
    "paths",
    metavar="NAME=PATH",
    multiple=True,
    callback=read_paths,
    help="Where an input lies on this box; goes with --inputs.",
)
@click.option("--thin", is_flag=True, help="Leave the base's layers out: the other side has them.")
@click.option("--image-only", is_flag=True, help="Leave the runs and their evidence out.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@quiet_option
@json_option
def command(
    target: str,
    file: Path,
    inputs: bool,
    paths: dict[str, Path],
    thin: bool,
    image_only: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write an image with its runs into one file, for a box without a network.

    RUN: that run, the run that it is a rerun of, and its verdicts. DIGEST: every finished run of that image.
    With each run go its log, traces, outputs and patch. `reprise import FILE` takes it in; `docker load`,
    `podman load` and `skopeo` read the image in it. The same runs give the same bytes.

    JSON: `path`, `size`, `bundle` (digest), `image`, `runs`, `left_out` (layers), `inputs`.
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import fields, line
    from orchestrator.cli.terminal.human_units import size_text
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bundles.export_bundle import ExportRequest, export

    request = ExportRequest(
        target=target,
        path=file.expanduser().absolute(),
        thin=thin,
        inputs=inputs or bool(paths),
        input_paths=paths,
        image_only=image_only,
        force=force,
    )
    with opened() as session, watching(as_json, quiet) as watch:
        done = export(session, request, watch)
    if as_json:
        print_document(done)
        return
    if not quiet:
        fields(
            [
                ("file", f"{done.path}  {size_text(done.size)}"),
                ("image", done.image),
                ("runs", " ".join(done.runs) or "none"),
                ("inputs", " ".join(done.inputs)),
                ("left out", f"{len(done.left_out)} layers of the base" if done.left_out else ""),
            ]
        )
    line(done.bundle)
