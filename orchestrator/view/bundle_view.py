"""Exported bundles and crates, and imported bundles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.verdict.verdict_wording import count
from orchestrator.view.forms.human_units import size_text
from orchestrator.view.forms.json_form import jsonable
from orchestrator.view.forms.page import Block, Fields, Text, Tone, View

if TYPE_CHECKING:
    from orchestrator.audit.exports.crate.write_crate import Crated
    from orchestrator.launch.bundles.export_bundle import ExportedBundle
    from orchestrator.launch.bundles.import_bundle import ImportedBundle


def exported_view(done: ExportedBundle) -> View:
    """A bundle; its digest is the last line."""
    fields = [
        ("file", f"{done.path}  {size_text(done.size)}"),
        ("image", done.image),
        ("runs", " ".join(done.runs) or "none"),
        ("inputs", " ".join(done.inputs)),
        ("left out", f"{count(len(done.left_out), 'layer')} of the base" if done.left_out else ""),
    ]
    return View(jsonable(done), (Fields(fields), Text(done.bundle)), done.bundle)


def crate_view(done: Crated) -> View:
    """An RO-Crate; its path is the last line."""

    def page() -> Iterator[Block]:
        yield Fields([("run", done.run), ("files", f"{done.files}, {size_text(done.size)}")])
        yield from (Text(f"left out: {text}", Tone.QUIET) for text in done.left_out)
        yield Text(str(done.path))

    return View(jsonable(done), page(), str(done.path))


def imported_view(done: ImportedBundle) -> View:
    """What a bundle brought; the image's digest is the last line."""
    verdicts = sum(item.verdicts for item in done.runs)
    fields = [
        ("job", done.name),
        ("new runs", " ".join(item.run for item in done.runs if item.new) or "none"),
        ("known", " ".join(item.run for item in done.runs if not item.new)),
        ("verdicts", f"{verdicts} new" if verdicts else ""),
        ("inputs", " ".join(item.digest for item in done.inputs)),
    ]
    page = (Fields(fields), Text(f"next: reprise rerun {done.image[:19]}"), Text(done.image))
    return View(jsonable(done), page, done.image)
