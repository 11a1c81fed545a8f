"""How images and their layers are printed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from orchestrator.cli.json_document import jsonable
from orchestrator.cli.terminal import console
from orchestrator.cli.terminal.human_units import size_text
from orchestrator.spec.jobfile.placeholders import text_of

if TYPE_CHECKING:
    from orchestrator.image.image_model import Base, Image, Layer, PythonFacts
    from orchestrator.spec.program import Program


def image_document(image: Image) -> dict[str, Any]:
    """An image for `--json`; where its layers lie on this box is not part of it."""
    names = ("digest", "config_digest", "base", "packages", "program")
    document = {name: jsonable(getattr(image, name)) for name in names}
    return document | {"layers": layers_document(image.layers)}


def layers_document(layers: Iterable[Layer]) -> list[dict[str, Any]]:
    names = ("kind", "title", "digest", "diff_id", "size")
    return [{name: jsonable(getattr(layer, name)) for name in names} for layer in layers]


def print_layers(layers: Iterable[Layer]) -> None:
    rows = [
        (layer.kind.value, layer.title, size_text(layer.size) if layer.size else "-", layer.digest)
        for layer in layers
    ]
    console.table(("layer", "title", "size", "digest"), rows, right=("size",))


def print_program(program: Program) -> None:
    determinism = program.determinism
    console.fields(
        [
            ("job", program.name),
            ("command", shlex.join(program.command)),
            (
                "params",
                "  ".join(f"{name}={text_of(value)}" for name, value in sorted(program.params.items())),
            ),
            ("seed", str(program.seed)),
            ("env", "  ".join(f"{name}={value}" for name, value in sorted(program.env.items()))),
            ("inputs", "  ".join(f"{name}={digest}" for name, digest in sorted(program.inputs.items()))),
            ("outputs", "  ".join(program.outputs)),
            ("determinism", f"{determinism.level.value}, threads {determinism.threads}"),
            ("gpus", str(program.gpus)),
        ]
    )


def print_base(base: Base, quiet: bool, as_json: bool) -> None:
    """A pinned base; its digest is the last line of standard output."""
    from orchestrator.cli.json_document import print_document

    if as_json:
        layers = layers_document(base.layers)
        document = {"reference": base.reference, "python": base.python, "layers": layers}
        print_document(jsonable(base.ref) | document)
        return
    if not quiet:
        console.fields([("base", base.ref.name), ("reference", base.reference)])
        print_python(base.python)
        print_layers(base.layers)
    console.line(base.ref.digest)


def print_python(python: PythonFacts) -> None:
    console.fields(
        [
            ("python", f"{python.version}  {python.executable}"),
            ("machine", f"{python.machine}, glibc {python.glibc}"),
            ("torch", python.torch or "none"),
            ("cuda", python.cuda or "none"),
            ("packages", str(len(python.packages))),
        ]
    )
