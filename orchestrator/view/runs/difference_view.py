"""Two runs beside each other: fields that differ, and their sources as a patch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.message_wording import listed, shortened
from orchestrator.record.run_record import RunRecord
from orchestrator.verdict.many_runs_difference import DifferenceTable
from orchestrator.verdict.run_difference import Cell, Difference, FieldPair
from orchestrator.verdict.source_difference import FilePatch, shown_path
from orchestrator.view.forms.clean_text import clean_line
from orchestrator.view.forms.human_units import number_text
from orchestrator.view.forms.json_form import jsonable
from orchestrator.view.forms.page import Block, Patch, Table, Text, Tone, View
from orchestrator.view.runs.run_columns import csv_text

BESIDE = 5  # runs that stand beside each other; more stand under each other
CELL = 24  # characters of a cell in a table of many runs; --csv and --json have all of it
SHORT = 8  # digits of a run's id over its column
NAMED = 5  # fields that a note names
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


def table_view(found: DifferenceTable, everything: bool, width: int) -> View:
    """Many runs: fields beside a few runs, or runs under each other with the fields that fit into `width`."""

    def page() -> Iterator[Block]:
        if not found.fields:
            yield Text("no differences", Tone.GOOD)
        elif len(found.runs) <= BESIDE:
            yield from _fields_table(found, everything, width)
        else:
            yield from _runs_table(found, everything, width)
        yield Text(f"\n{found.equal:,} equal fields are hidden", Tone.QUIET)

    return View({"runs": found.runs, "fields": found.fields, "equal": found.equal}, page())


def table_csv(found: DifferenceTable) -> str:
    return csv_text({"run": found.runs, **found.fields})


def _short(value: Cell, most: int = CELL) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return number_text(value)
    return shortened(cell_text(value).removeprefix("sha256:"), most)


def _fields_table(found: DifferenceTable, everything: bool, width: int) -> Iterator[Block]:
    names = list(found.fields)
    shown = names if everything else names[:ENTRIES_SHOWN]
    field = max(len(clean_line(name)) for name in shown)
    most = max(min((width - field) // len(found.runs) - 2, CELL), SHORT)
    rows = [(name, *(_short(cell, most) for cell in found.fields[name])) for name in shown]
    yield Table(("field", *(run[:SHORT] for run in found.runs)), rows)
    if len(shown) < len(names):
        yield Text(f"and {len(names) - len(shown)} more; --all, --csv and --json have them", Tone.QUIET)


def _runs_table(found: DifferenceTable, everything: bool, width: int) -> Iterator[Block]:
    room = width - len(found.runs[0])
    columns: dict[str, list[str]] = {"run": list(found.runs)}
    left = []
    for name, values in found.fields.items():
        cells = [_short(value) for value in values]
        needed = max(map(len, (clean_line(name), *cells))) + 2
        if everything or needed <= room:
            columns[name] = cells
            room -= needed
        else:
            left.append(name)
    yield Table(tuple(columns), list(zip(*columns.values(), strict=True)))
    if left:
        yield Text(f"\nnot shown: {listed(left, NAMED)}; --all, --csv and --json have them", Tone.QUIET)


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
