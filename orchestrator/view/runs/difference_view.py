"""Two runs beside each other: fields that differ, and their sources as a patch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.record.run_record import RunRecord
from orchestrator.verdict.run_difference import Cell, Difference, FieldPair
from orchestrator.verdict.source_difference import FilePatch, shown_path
from orchestrator.view.forms.clean_text import clean_line
from orchestrator.view.forms.json_form import jsonable
from orchestrator.view.forms.page import Block, Patch, Text, Tone, View

ENTRIES_SHOWN = 40  # of one section; --all and --json show every one


def difference_view(found: Difference, everything: bool) -> View:
    """With `everything`, also the equal fields."""
    document = jsonable(found)
    if not everything:
        for section in document["sections"]:
            del section["equal"]
    return View(document, _page(found, everything))


def _page(found: Difference, everything: bool) -> Iterator[Block]:
    """In the manner of a patch: `-` the first run, `+` the second."""
    yield Text(f"--- {found.a}\n+++ {found.b}", Tone.STRONG)
    for section in found.sections:
        shown = section.differing if everything else section.differing[:ENTRIES_SHOWN]
        equal = section.equal if everything else ()
        if shown or equal:
            yield Text(f"\n{section.name}", Tone.STRONG)
        for entry in shown:
            yield from _entry(entry)
        if len(shown) < len(section.differing):
            yield Text(f"  and {len(section.differing) - len(shown)} more")
        for entry in equal:
            yield Text(f"  {entry.name}: {cell_text(entry.a)}", Tone.QUIET)
    hidden = sum(len(section.equal) for section in found.sections)
    if not found.differing:
        yield Text("\nno differences", Tone.GOOD)
    if hidden and not everything:
        yield Text(f"\n{hidden} equal fields are hidden; --all shows them", Tone.QUIET)


def _entry(entry: FieldPair) -> Iterator[Block]:
    delta = "" if entry.delta is None else f"   ({entry.delta:+.6g})"
    yield Text(f"  {entry.name}{delta}")
    if entry.a is not None:
        yield Text(f"  - {cell_text(entry.a)}", Tone.BAD)
    if entry.b is not None:
        yield Text(f"  + {cell_text(entry.b)}", Tone.GOOD)


def cell_text(value: Cell) -> str:
    """Two different values never look the same: a text that looks like another value stands in quotes."""
    if not isinstance(value, str):
        return repr(value)
    plain = value.isprintable() and value.strip() == value and value not in ("", "True", "False", "None")
    return clean_line(value if plain and not _is_number(value) else repr(value))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def code_view(a: RunRecord, b: RunRecord, found: Sequence[FilePatch]) -> View:
    """The source files that differ, as a patch."""

    def page() -> Iterator[Block]:
        if not found:
            yield Text("no differences in the source (without --code: all else)", Tone.GOOD)
        for item in found:
            if item.patch:
                yield Patch(item.patch)
            else:
                yield Text(f"{item.change.value}: {shown_path(item.path)} ({item.why})", Tone.STRONG)

    return View({"a": a.id, "b": b.id, "code": found}, page())
