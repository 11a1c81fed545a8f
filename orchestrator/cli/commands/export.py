"""reprise export"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import (
    PathType,
    json_option,
    new_path,
    quiet_option,
    read_paths,
    refuse_existing,
)
from orchestrator.typed_path import path_to_write

if TYPE_CHECKING:
    from orchestrator.view.forms.page import View


@click.command("export")
@click.argument("target", metavar="[DIGEST|RUN]")
@click.argument("file", metavar="FILE|FOLDER", type=PathType(), callback=new_path, required=False)
@click.option("--all", "everything", is_flag=True, help="The whole record, for another database.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("bundle", "ro-crate", "html")),
    default="bundle",
    show_default=True,
    help="What to write: a file that `reprise import` takes, an RO-Crate, or a page that proves itself.",
)
@click.option("--inputs", is_flag=True, help="Take the input data along.")
@click.option(
    "--input",
    "paths",
    metavar="NAME=PATH",
    multiple=True,
    callback=read_paths,
    help="Where an input lies on this box; goes with --inputs.",
)
@click.option("--thin", is_flag=True, help="bundle: leave the base's layers out: the other side has them.")
@click.option("--image-only", is_flag=True, help="bundle: leave the runs and their evidence out.")
@click.option("--licence", metavar="URL|TEXT", help="ro-crate: under which licence others get it.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@quiet_option
@json_option
def command(
    target: str, file: Path | None, everything: bool, form: str, quiet: bool, as_json: bool, **asked: Any
) -> None:
    """Write an image with its runs, or one run as an RO-Crate or a page, for another place.

    \b
    bundle    one file for a box without a network: `reprise import FILE` takes it in,
              and `docker load`, `podman load` and `skopeo` read the image in it.
              Of a RUN: that run, the run that it is a rerun of, and its verdicts.
              Of a DIGEST: every finished run of that image. With each run go its
              log, traces, outputs and patch.
    ro-crate  a finished RUN for archives and other tools, as a FOLDER or a FILE.zip:
              program, source, outputs, log and traces, described in the Workflow Run
              Crate profile: parameters, metrics, packages, container image, who,
              when, verdicts.
    html      a finished RUN as one FILE.html that opens anywhere and asks no network:
              what was run, charts, verdicts, and the run's entries of the ledger with
              the proof that a signed tree head covers them, checked in the reader's
              browser. FILE.svg beside it is a badge that links to it.

    With --all and a FILE alone: every finished run of the record with its verdicts and attempts, and what
    people said (notes, tags, aliases, names of data), for `reprise import` into another database. Images
    stay in their registry; outputs, logs, traces and data in the store, which can be copied as it is.

    Every byte is checked while it is copied. The same runs with the same verdicts give the same bytes.

    JSON of a bundle: `path`, `size` (bytes), `bundle` (digest), `image`, `runs`, `left_out` (layers),
    `inputs`. JSON of a crate: `path`, `run`, `files`, `size`, `left_out` (what is not in it, and why).
    JSON of a page: `path`, `badge`, `run`, `size`, `events`, `key` (the fingerprint that readers compare).
    JSON with --all: `path`, `size`, `record` (digest), `runs`, `remarks`, `data` (versions
    of named data), `open` (counts; open runs stay).
    """
    from orchestrator.cli.terminal.console import print_view

    if everything:
        if file is not None or form != "bundle" or any(asked[name] for name in asked if name != "force"):
            raise click.UsageError("--all takes a FILE and --force, and nothing else")
        view = _whole(target, asked["force"], quiet, as_json)
    elif file is None:
        raise click.UsageError("the FILE to write is missing: reprise export RUN FILE, or export --all FILE")
    else:
        view = _some(target, file, form, quiet, as_json, **asked)
    print_view(view, as_json, quiet)


def _some(
    target: str,
    file: Path,
    form: str,
    quiet: bool,
    as_json: bool,
    *,
    inputs: bool,
    paths: dict[str, Path],
    thin: bool,
    image_only: bool,
    licence: str | None,
    force: bool,
) -> View:
    if form != "ro-crate" and licence is not None:
        raise click.UsageError("--licence goes with --format ro-crate")
    if form != "bundle" and (thin or image_only):
        raise click.UsageError("--thin and --image-only go with --format bundle")
    if form == "html" and (inputs or paths):
        raise click.UsageError("--inputs and --input go with --format bundle or ro-crate")
    if form != "ro-crate":  # that may go into a folder that is there, and empty
        refuse_existing(file, force)
    common = {"path": file, "inputs": inputs, "input_paths": paths, "force": force}
    if form == "ro-crate":
        return _crate(target, common | {"licence": licence}, quiet, as_json)
    if form == "html":
        return _page(target, file, force)
    request = common | {"target": target, "thin": thin, "image_only": image_only}
    return _bundle(request, quiet, as_json)


def _whole(target: str, force: bool, quiet: bool, as_json: bool) -> View:
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bundles.record_file import export_record
    from orchestrator.view.bundle_view import exported_record_view

    path = path_to_write(Path(target))
    refuse_existing(path, force)
    with opened() as session, watching(as_json, quiet) as watch:
        return exported_record_view(export_record(session, path, force, watch))


def _bundle(request: dict[str, Any], quiet: bool, as_json: bool) -> View:
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bundles.export_bundle import ExportRequest, export
    from orchestrator.view.bundle_view import exported_view

    with opened() as session, watching(as_json, quiet) as watch:
        return exported_view(export(session, ExportRequest(**request), watch))


def _crate(run: str, request: dict[str, Any], quiet: bool, as_json: bool) -> View:
    from orchestrator.audit.exports.crate.write_crate import CrateRequest, write_crate
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.view.bundle_view import crate_view

    with opened() as session, watching(as_json, quiet) as watch:
        return crate_view(write_crate(session, find_run(session, run), CrateRequest(**request), watch))


def _page(run: str, file: Path, force: bool) -> View:
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.cli.web_packages import need_web_packages
    from orchestrator.view.bundle_view import page_view

    need_web_packages("a page")
    if file.suffix != ".html":
        raise click.UsageError(f"{file} is the page of a run: name it FILE.html")
    from orchestrator.web.proof_page import PageRequest, write_page

    with opened() as session:
        return page_view(write_page(session, find_run(session, run), PageRequest(path=file, force=force)))
