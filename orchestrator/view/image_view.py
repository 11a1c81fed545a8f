"""Images, their bases, and the plan of a run that was not started."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.image.image_model import Base, BaseRef, Image, Layer, PythonFacts
from orchestrator.spec.program import Program
from orchestrator.view.forms.human_units import size_text, span_text
from orchestrator.view.forms.json_form import jsonable
from orchestrator.view.forms.page import Block, Fields, Table, Text, Tone, View
from orchestrator.view.runs.input_words import input_lines
from orchestrator.view.runs.run_view import params_text

if TYPE_CHECKING:
    from orchestrator.image.base.base_pins import BasePin
    from orchestrator.launch.bases.new_flavour import NewFlavour
    from orchestrator.launch.submit.build_image import Built
    from orchestrator.launch.submit.rerun_target import Target
    from orchestrator.launch.submit.submit_run import DryRun

_SIZES = ("memory", "shm", "file_size")  # of a plan, in bytes


def layers_document(layers: Iterable[Layer]) -> list[dict[str, Any]]:
    """Layers without the places where they lie on this box."""
    names = ("kind", "title", "digest", "diff_id", "size")
    return [{name: getattr(layer, name) for name in names} for layer in layers]


def title_text(title: str) -> str:
    """`source, 1 file`: the image itself says `1 files`, and what it says is part of its digest."""
    return re.sub(r"\b1 (file|wheel)s\Z", r"1 \1", title)


def layers_table(layers: Iterable[Layer]) -> Table:
    rows = [
        (
            layer.kind.value,
            title_text(layer.title),
            size_text(layer.size) if layer.size else "-",
            layer.digest,
        )
        for layer in layers
    ]
    return Table(("layer", "title", "size", "digest"), rows, right=("size",))


def packages_table(packages: Mapping[str, str]) -> Table:
    return Table(("package", "version"), sorted(packages.items()))


def program_fields(program: Program) -> Fields:
    determinism = program.determinism
    return Fields(
        [
            ("job", program.name),
            ("command", shlex.join(program.command)),
            ("params", params_text(program.params)),
            ("seed", str(program.seed)),
            ("env", "  ".join(f"{name}={value}" for name, value in sorted(program.env.items()))),
            ("inputs", "  ".join(f"{name}={digest}" for name, digest in sorted(program.inputs.items()))),
            ("outputs", "  ".join(program.outputs)),
            ("determinism", f"{determinism.level.value}, threads {determinism.threads}"),
            ("gpus", str(program.gpus)),
        ]
    )


def _image_document(image: Image) -> dict[str, Any]:
    names = ("digest", "config_digest", "base", "packages", "program")
    return {name: getattr(image, name) for name in names} | {"layers": layers_document(image.layers)}


def built_view(built: Built) -> View:
    """An image that was just assembled; its digest is the last line."""
    image = built.image
    inputs = Fields(input_lines(image.program.inputs, built.origins))
    document = _image_document(image) | {"input_origins": built.origins}
    return View(document, (inputs, layers_table(image.layers), Text(image.digest)), image.digest)


def image_view(found: Target) -> View:
    image = found.image

    def page() -> Iterator[Block]:
        yield Fields(
            [
                ("image", image.digest),
                ("config", image.config_digest),
                ("base", f"{image.base.name}  {image.base.digest}"),
                ("engine's", found.reference),
            ]
        )
        yield program_fields(found.program)
        yield Text()
        yield layers_table(image.layers)
        if found.packages:
            yield Text()
            yield packages_table(found.packages)

    document = {name: getattr(image, name) for name in ("digest", "config_digest", "base")}
    document |= {name: getattr(found, name) for name in ("packages", "program", "reference")}
    return View(document | {"layers": layers_document(image.layers)}, page())


def dry_run_view(found: DryRun) -> View:
    """The plan as data: layers, container, determinism settings; the digest is the last line."""
    image, plan = found.built.image, jsonable(found.plan)

    def page() -> Iterator[Block]:
        yield program_fields(image.program)
        yield Text()
        yield layers_table(image.layers)
        yield Text("\ncontainer", Tone.STRONG)
        settings = [(name.replace("_", " "), _setting(name, value)) for name, value in plan.items()]
        yield Fields(settings, indent=2)
        yield Text("\ndeterminism settings", Tone.STRONG)
        yield Fields(sorted(found.settings.items()), indent=2)
        yield Text(f"\n{image.digest}")

    document = {"image": _image_document(image), "plan": plan, "levers": found.settings}
    return View(document | {"resources": found.built.spec.resources}, page(), image.digest)


def _setting(name: str, value: Any) -> str:
    """A plan's setting in words; empty if it is not set."""
    if name in _SIZES:
        return size_text(value)
    if name == "stop_grace":
        return span_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "mounts":
        return "  ".join(f"{item['source']}:{item['target']}{':ro' * item['read_only']}" for item in value)
    if isinstance(value, dict):
        return "  ".join(f"{key}={item}" for key, item in sorted(value.items()))
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def base_view(base: Base) -> View:
    """A base that was just pinned; its digest is the last line."""
    layers = layers_document(base.layers)
    document = {"reference": base.reference, "python": base.python, "layers": layers}
    document |= {name: getattr(base.ref, name) for name in BaseRef.model_fields}

    def page() -> Iterator[Block]:
        yield Fields([("base", base.ref.name), ("reference", base.reference)])
        yield _python_fields(base.python)
        yield layers_table(base.layers)
        yield Text(base.ref.digest)

    return View(document, page(), base.ref.digest)


def bases_view(pins: Sequence[BasePin], not_pinned: Sequence[str]) -> View:
    """The pinned bases, and the flavours that are not pinned yet."""

    def page() -> Iterator[Block]:
        where = {True: "for all", False: "on this box"}
        rows = [
            (item.name, item.python.version, item.python.torch or "-", where[item.committed], item.digest)
            for item in pins
        ]
        yield Table(("base", "python", "torch", "pinned", "digest"), rows)
        for name in not_pinned:
            yield Text(f"{name}: not pinned; `reprise base build {name}` makes it")

    return View({"bases": pins, "not_pinned": not_pinned}, page())


def new_flavour_view(made: NewFlavour) -> View:
    """A flavour that was just locked: in what it differs from its parent, and what comes next."""

    def page() -> Iterator[Block]:
        yield Fields([("base", made.name), ("like", made.parent), ("lock", str(made.lock))])
        rows = [(item.name, item.before or "-", item.after or "-") for item in made.changed]
        yield Table(("package", made.parent, made.name), rows)
        yield Text(f"make it: `reprise base build {made.name}`; then `base: {made.name}` in the job file")

    return View(jsonable(made), page(), made.name)


def python_view(python: PythonFacts) -> View:
    page = (_python_fields(python), Text(), packages_table(python.packages))
    return View(jsonable(python), page)


def _python_fields(python: PythonFacts) -> Fields:
    return Fields(
        [
            ("python", f"{python.version}  {python.executable}"),
            ("machine", f"{python.machine}, glibc {python.glibc}"),
            ("torch", python.torch or "none"),
            ("cuda", python.cuda or "none"),
            ("packages", str(len(python.packages))),
        ]
    )
