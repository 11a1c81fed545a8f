"""Exported bundles and crates, and imported bundles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.message_wording import count, listed
from orchestrator.view.forms.human_units import size_text
from orchestrator.view.forms.json_form import jsonable
from orchestrator.view.forms.page import Block, Fields, Text, Tone, View

if TYPE_CHECKING:
    from orchestrator.audit.exports.crate.write_crate import Crated
    from orchestrator.audit.exports.page_evidence import WrittenPage
    from orchestrator.launch.bundles.export_bundle import ExportedBundle
    from orchestrator.launch.bundles.import_bundle import ImportedBundle
    from orchestrator.launch.bundles.record_file import ExportedRecord, ImportedRecord

SHOWN = 8  # names on one line


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


def page_view(done: WrittenPage) -> View:
    """A page that proves itself; its path is the last line."""
    fields = [
        ("run", done.run),
        ("proven", f"{done.events} entries of the ledger"),
        ("badge", str(done.badge)),
        ("key", done.key),
    ]
    said = Text(
        "readers compare the key's fingerprint: tell it to them by another way than the page", Tone.QUIET
    )
    return View(jsonable(done), (Fields(fields), said, Text(str(done.path))), str(done.path))


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


def exported_record_view(done: ExportedRecord) -> View:
    """A whole record; the file's digest is the last line."""
    fields = [
        ("file", f"{done.path}  {size_text(done.size)}"),
        ("runs", f"{done.runs:,}"),
        ("remarks", f"{done.remarks:,}" if done.remarks else ""),
        ("data", f"{count(done.data, 'version')} of named data" if done.data else ""),
        ("left out", f"{done.open:,} runs that are not over" if done.open else ""),
    ]
    stay = Text("images stay in their registry; outputs, logs, traces and data in the store", Tone.QUIET)
    return View(jsonable(done), (Fields(fields), stay, Text(done.record)), done.record)


def imported_record_view(done: ImportedRecord) -> View:
    """What came in; the file's digest is the last line."""
    new, kept = sum(item.new for item in done.runs), done.kept or done.marks_kept
    fields = [
        ("new runs", f"{new:,}"),
        ("known", f"{len(done.runs) - new:,}" if new < len(done.runs) else ""),
        ("verdicts", f"{sum(item.verdicts for item in done.runs):,} new"),
        ("remarks", f"{done.remarks:,} new"),
        ("kept", f"what was said here of {_some((*done.kept, *done.marks_kept))}" if kept else ""),
        ("data", f"{_some(done.data)} new" if done.data else ""),
        ("data kept", _data_kept(done.data_kept)),
    ]
    stay = Text("outputs, logs, traces and data: copy the old store's folder into this one's", Tone.QUIET)
    return View(jsonable(done), (Fields(fields), stay, Text(done.record)), done.record)


def _some(names: tuple[str, ...]) -> str:
    """The first names; JSON has all."""
    return listed(names, SHOWN)


def _data_kept(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    mend = "`reprise data get` there and `data add --name` here brings one under another name"
    return f"{_some(names)}: other bytes have the name in this record; {mend}"
