"""reprise base"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option, quiet_option

if TYPE_CHECKING:
    from orchestrator.image.image_model import Base, PythonFacts


@click.group("base")
def command() -> None:
    """Make, list, pin or probe base images.

    A base is a Python with its packages over an operating system, pinned by digest. A flavour is a base
    with a recipe in the folder `images`.
    """


@command.command("build")
@click.argument("flavour")
@click.option("--force", is_flag=True, help="Make it anew though nothing in its recipe has changed.")
@quiet_option
@json_option
def build(flavour: str, force: bool, quiet: bool, as_json: bool) -> None:
    """Make a flavour from its recipe and pin it on this box.

    The digest is the last line of standard output.

    JSON: `name`, `digest`, `config_digest`,
    `reference`, `layers`, `python`.
    """
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bases.manage_bases import build_base

    with opened() as session, watching(as_json, quiet) as watch:
        made = build_base(session, flavour, watch, force)
    _print_base(made, quiet, as_json)


@command.command("pin")
@click.argument("name")
@click.argument("reference")
@quiet_option
@json_option
def pin(name: str, reference: str, quiet: bool, as_json: bool) -> None:
    """Pin an image that is there already as the base NAME.

    REFERENCE names it by digest: REPOSITORY@sha256:…, or the engine's own sha256:… of it.

    JSON: as `base build`.
    """
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bases.manage_bases import pin_base

    with opened() as session, watching(as_json, quiet) as watch:
        pinned = pin_base(session, name, reference, watch)
    _print_base(pinned, quiet, as_json)


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the pinned bases, and the flavours that are not pinned yet.

    JSON: `bases` (`name`, `digest`, `config_digest`, `reference`, `committed`, `python`), `not_pinned`.
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line, table
    from orchestrator.cli.verb_session import opened
    from orchestrator.image.base.base_pins import flavours, list_pins

    with opened() as session:
        pins = list_pins(session.settings)
        missing = sorted(set(flavours(session.settings)) - {item.name for item in pins})
    if as_json:
        print_document({"bases": pins, "not_pinned": missing})
        return
    where = {True: "for all", False: "on this box"}
    rows = [
        (item.name, item.python.version, item.python.torch or "-", where[item.committed], item.digest)
        for item in pins
    ]
    table(("base", "python", "torch", "pinned", "digest"), rows)
    for name in missing:
        line(f"{name}: not pinned; `reprise base build {name}` makes it")


@command.command("probe")
@click.argument("reference")
@json_option
def probe(reference: str, as_json: bool) -> None:
    """Show what an image offers as a base: its Python, glibc, torch and packages.

    JSON: `executable`, `version`, `purelib`, `glibc`, `machine`, `packages`, `torch`, `cuda`.
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line, table
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.bases.manage_bases import probe as probe_image

    with opened() as session:
        python = probe_image(session, reference)
    if as_json:
        print_document(python)
        return
    _print_python(python)
    line()
    table(("package", "version"), sorted(python.packages.items()))


def _print_base(base: Base, quiet: bool, as_json: bool) -> None:
    from orchestrator.cli.json_document import jsonable, print_document
    from orchestrator.cli.terminal.console import fields, line
    from orchestrator.cli.terminal.image_lines import layers_document, print_layers

    if as_json:
        document = {
            "reference": base.reference,
            "python": base.python,
            "layers": layers_document(base.layers),
        }
        print_document(jsonable(base.ref) | document)
        return
    if not quiet:
        fields([("base", base.ref.name), ("reference", base.reference)])
        _print_python(base.python)
        print_layers(base.layers)
    line(base.ref.digest)


def _print_python(python: PythonFacts) -> None:
    from orchestrator.cli.terminal.console import fields

    fields(
        [
            ("python", f"{python.version}  {python.executable}"),
            ("machine", f"{python.machine}, glibc {python.glibc}"),
            ("torch", python.torch or "none"),
            ("cuda", python.cuda or "none"),
            ("packages", str(len(python.packages))),
        ]
    )
