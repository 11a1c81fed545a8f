"""The history: a page of runs, and the best of a job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from orchestrator.message_wording import listed, shortened
from orchestrator.record.history.filter_fields import PARAMETERS, Field
from orchestrator.record.history.queries import LOOKED_AT
from orchestrator.record.run_record import Best, Changed, HistoryFilter, HistoryPage, RunLine, RunRecord
from orchestrator.value import Plain
from orchestrator.view.forms.clean_text import clean_line
from orchestrator.view.forms.human_units import incomplete_text, number_text, step_text
from orchestrator.view.forms.page import Block, Table, Text, Tone, View
from orchestrator.view.runs.run_columns import (
    PLAIN,
    all_columns,
    cell_of,
    chosen_columns,
    csv_text,
    heading_of,
    in_shown_order,
    is_number,
    parameters_of,
    told_apart,
    values_in_columns,
)
from orchestrator.view.runs.run_view import next_page, run_document, run_page

CHANGES = 3  # changes of a run that are shown; the rest is in `diff`
WIDTH = 80  # characters of a line where no terminal says otherwise
SHORTEST = 20  # characters, at least, of a reason that is cut to fit
NAMED = 5  # columns that a note names
CHANGED = "changed"
_BEST = {"min": "least", "max": "greatest", "last": "last"}


class Answer(NamedTuple):
    """The record's answer to a question."""

    wanted: HistoryFilter
    page: HistoryPage
    sorted_by: Field | None
    why_nothing: Sequence[str]  # sentences, where no run fits


class ShownColumns(NamedTuple):
    """The columns of a page: heading and cells of each, and what is said of the others."""

    columns: tuple[tuple[str, list[str]], ...]
    right: tuple[str, ...]  # headings of numbers
    notes: tuple[str, ...] = ()


def history_view(found: Answer, shown: ShownColumns | None = None) -> View:
    page, notes = found.page, history_notes(found)
    document: dict[str, Any] = {
        "runs": page.lines,
        "limit": found.wanted.limit,
        "more": page.next is not None or page.left,
        "next": page.next,
        "notes": notes,
    }
    if found.wanted.changed is not None:
        document["changed"] = page.changes
    return View(document, runs_page(shown_columns(found) if shown is None else shown))


def history_notes(found: Answer) -> list[str]:
    """What the page leaves out, or why it is empty."""
    notes, runs = list(found.why_nothing), found.page.lines
    further = f"--after {found.page.next} goes on from here"
    if found.page.left:
        notes.append(
            f"looked at {LOOKED_AT:,} runs; narrow the rest with --job, --since or --where, or {further}"
        )
    if runs and found.sorted_by is not None and _value_in(runs[0], found.sorted_by) is None:
        notes.append(f"none of these runs has {found.sorted_by}: the newest come first")
    torn = sum(bool(run.metrics_incomplete) for run in runs)
    if torn:
        notes.append(incomplete_text(torn, "these runs"))
    if found.page.next is not None and not found.page.left:
        these = "this run" if len(runs) == 1 else f"these {len(runs):,} runs"
        notes.append(f"there are more than {these}; --limit shows more of them, {further}")
    return notes


def history_csv(found: Answer, columns: str | None) -> str:
    """The page as CSV: every column, or those that are asked for."""
    runs = found.page.lines
    names = all_columns(runs) if columns is None else chosen_columns(columns, runs)
    return csv_text(values_in_columns(runs, names))


def runs_page(shown: ShownColumns) -> Iterator[Block]:
    """One line for each run."""
    if not shown.columns:
        yield Text("no runs")
        return
    rows = list(zip(*(cells for _, cells in shown.columns), strict=True))
    yield Table([heading for heading, _ in shown.columns], rows, right=shown.right)


def shown_columns(found: Answer, columns: str | None = None, width: int = WIDTH) -> ShownColumns:
    """The columns that are asked for, as wide as they are; else those that differ and fit into `width`
    characters, and a note on the others. What is sorted by, and what changed, is always among them.
    """
    runs = found.page.lines
    if columns is not None:
        names: Sequence[str] = chosen_columns(columns, runs)
        return _laid_out(found, names, ()) if runs else ShownColumns((), ())
    if not runs:
        return ShownColumns((), ())
    first = [CHANGED] if found.wanted.changed is not None else []
    sorted_by = _sorted_column(found.sorted_by)
    first += [sorted_by] if sorted_by is not None else []
    told = told_apart(runs, first)
    fitting, left = _fitting(found, told.columns, width)
    notes = []
    if told.same and len(runs) > 1:
        notes.append(_same_text(told.same))
    if left:
        notes.append(f"not shown: {listed(left, NAMED)}; --columns NAME,NAME or --columns all")
    return _laid_out(found, in_shown_order(fitting, runs, first), tuple(notes), width)


def _sorted_column(field: Field | None) -> str | None:
    if field is None or (field.name is None and field.word not in PLAIN):
        return None
    return str(field)


def _fitting(found: Answer, columns: Sequence[str], width: int) -> tuple[list[str], list[str]]:
    """The columns that fit beside each other, by importance, and those that do not."""
    fitting: list[str] = []
    left: list[str] = []
    room = width + 2
    for name in columns:
        cells = [len(clean_line(_cell(found, place, name))) for place in range(len(found.page.lines))]
        needed = max(len(_heading(found, name, columns)), *cells) + 2
        if name == "reason":
            needed = min(needed, SHORTEST + 2)
        if needed <= room or name in ("run", CHANGED, _sorted_column(found.sorted_by)):
            fitting.append(name)
            room -= needed
        else:
            left.append(name)
    return fitting, left


def _laid_out(found: Answer, names: Sequence[str], notes: tuple[str, ...], width: int = 0) -> ShownColumns:
    """`width`: the reason is cut so that a line has at most so many characters; 0: nothing is cut."""
    runs = found.page.lines
    columns = [
        (_heading(found, name, names), [_cell(found, place, name) for place in range(len(runs))])
        for name in names
    ]
    if width and names and names[-1] == "reason":
        taken = sum(max(len(head), *map(len, cells)) + 2 for head, cells in columns[:-1])
        room = max(width - taken, SHORTEST)
        head, cells = columns[-1]
        columns[-1] = head, [shortened(cell, room) for cell in cells]
    right = [_heading(found, name, names) for name in names if name != CHANGED and is_number(runs, name)]
    return ShownColumns(tuple(columns), tuple(right), notes)


def _heading(found: Answer, name: str, among: Sequence[str]) -> str:
    return name if name in (CHANGED, _sorted_column(found.sorted_by)) else heading_of(name, among)


def _cell(found: Answer, place: int, name: str) -> str:
    run = found.page.lines[place]
    if name == CHANGED:
        return changed_text(found.page.changes[run.id])
    if found.sorted_by is not None and name == str(found.sorted_by) and found.sorted_by.word == "metrics":
        return _sorted_text(run, found.sorted_by)
    return cell_of(run, name)


def _same_text(same: dict[str, str]) -> str:
    """`the same in all: job digits, state succeeded, user ada, lr 0.1`."""
    texts = [  # `imported`, and not `imported imported`
        cell if name == "imported" else f"{heading_of(name, list(same))} {clean_line(cell)}"
        for name, cell in same.items()
    ]
    return f"the same in all: {listed(texts, 2 * NAMED)}"


def _value_in(run: RunLine, field: Field) -> object:
    """A run's value of a parameter or metric; True for its other fields, which every run has."""
    if field.word in PARAMETERS:
        return parameters_of(run, field.word).get(str(field.name))
    if field.word != "metrics":
        return True
    if field.part.value == "last":
        return run.metrics.get(str(field.name))
    found = run.reached.get(str(field.name))
    return None if found is None else getattr(found, field.part.value)


def _sorted_text(run: RunLine, field: Field) -> str:
    """`0.93 at step 40`."""
    value = _value_in(run, field)
    if not isinstance(value, float):
        return "-" if value is None else f"{value}"
    return number_text(value) + step_text(getattr(run.reached[str(field.name)], f"{field.part.value}_step"))


def changed_text(changed: Changed) -> str:
    """`torch 2.12 -> 2.13, +x 1.0, -y 2.0`; of files and digests only whether they are new or gone."""
    texts = []
    for delta in changed.deltas:
        name, before, after = delta.name, _value(delta.before), _value(delta.after)
        if delta.before is None:
            texts.append(f"+{name} {after}".rstrip())
        elif delta.after is None:
            texts.append(f"-{name} {before}".rstrip())
        else:
            texts.append(f"{name} {before} -> {after}" if before else name)
    return listed(texts, CHANGES)


def _value(value: Plain) -> str:
    """A hash becomes empty: it says nothing to a reader. A digest is shortened."""
    text = str(value)
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return ""
    return re.sub(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}", r"\1", text)


def best_view(found: Best, run: RunRecord) -> View:
    def page() -> Iterator[Block]:
        yield Text(f"{best_text(found)}\n", Tone.STRONG)
        yield from run_page(run)
        yield next_page(run)

    facts = {name: getattr(found, name) for name in ("metric", "part", "value", "step", "incomplete")}
    return View(run_document(run) | {"best": facts}, page())


def best_text(found: Best) -> str:
    """`best: greatest accuracy 0.93 at step 40; its last is 0.88 at step 100`."""
    name = found.metric
    value = f"{_BEST[found.part]} {name} {number_text(found.value)}{step_text(found.step)}"
    last = found.line.metrics[name]
    if found.part == "last" or repr(last) == repr(found.value):
        return f"best: {value}"
    at = step_text(found.line.reached[name].last_step)
    return f"best: {value}; its last is {number_text(last)}{at}"
