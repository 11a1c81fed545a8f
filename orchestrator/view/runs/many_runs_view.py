"""Two to a hundred runs beside each other: what differs, and the axes on which they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from orchestrator.analysis.parallel_axes import Axis, axis_of
from orchestrator.message_wording import count
from orchestrator.record.run_record import RunRecord
from orchestrator.verdict.many_runs_difference import FieldRow, FieldSection, ManyDifferences
from orchestrator.view.forms.human_units import number_text
from orchestrator.view.forms.page import Block, Table, Text, Tone, View
from orchestrator.view.runs.difference_view import cell_text

COLUMNS = 6  # runs that have a column each; of more, values are listed with their runs
VALUES = 8  # different values of one field that are listed
DRAWN = 24  # axes, charts
FIELDS_SHOWN = 1_000  # of one section: a job may have 100,000 outputs


class ComparedRuns(NamedTuple):
    """The runs, in the order in which they were named, and how they differ."""

    runs: Sequence[RunRecord]
    found: ManyDifferences


def many_runs_view(compared: ComparedRuns) -> View:
    return View(many_runs_document(compared), _page(compared))


def many_runs_document(compared: ComparedRuns) -> dict[str, Any]:
    return {
        "runs": [
            {
                "id": run.id,
                "job": run.job,
                "state": run.state,
                "params": run.program.params,
                "metrics": run.metrics,
            }
            for run in compared.runs
        ],
        "sections": compared.found.sections,
    }


def _page(compared: ComparedRuns) -> Iterator[Block]:
    for section in compared.found.sections:
        if section.differing:
            yield Text(f"\n{section.name}", Tone.STRONG)
            yield from section_page(compared, section)
    if not any(section.differing for section in compared.found.sections):
        yield Text("no differences", Tone.GOOD)


def section_page(compared: ComparedRuns, section: FieldSection) -> Iterator[Block]:
    """One line per field: with one column per run, or for many runs each different value and how many runs
    have it.
    """
    shown = section.differing[:FIELDS_SHOWN]
    if len(compared.runs) <= COLUMNS:
        columns = ("field", *(run.id for run in compared.runs))
        yield Table(columns, [(row.name, *map(_cell, row.cells)) for row in shown])
    else:
        yield Table(("field", "values"), [(row.name, _values(row)) for row in shown])
    if len(shown) < len(section.differing):
        yield Text(f"and {len(section.differing) - len(shown):,} more; JSON has them", Tone.QUIET)


def _cell(value: Any) -> str:
    return "-" if value is None else cell_text(value)


def _values(row: FieldRow) -> str:
    """`2.12 in 3 runs, 2.13 in 1 run`, the most frequent first."""
    counts: dict[str, int] = {}
    for value in row.cells:
        text = _cell(value)
        counts[text] = counts.get(text, 0) + 1
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    texts = [f"{text} in {count(runs, 'run')}" for text, runs in ordered[:VALUES]]
    return ", ".join(texts) + (f", and {len(ordered) - VALUES} more values" if len(ordered) > VALUES else "")


def axes(compared: ComparedRuns) -> list[Axis]:
    """Parameters that differ, then metrics that differ, by name: the first that can be drawn."""
    found = []
    for name in ("params", "metrics"):
        rows = compared.found.section(name).differing
        drawn = (axis_of(row.name, row.cells) for row in rows)
        found.append([axis for axis in drawn if axis is not None])
    params, metrics = found
    return [*params[: DRAWN - min(len(metrics), DRAWN // 2)], *metrics[: DRAWN // 2]]


class RunRow(NamedTuple):
    """A line of the table beside the drawing."""

    run: RunRecord
    cells: list[str]  # of each axis


def run_rows(compared: ComparedRuns, shown: Sequence[Axis]) -> list[RunRow]:
    return [
        RunRow(run, [_place_text(axis, axis.places[number]) for axis in shown])
        for number, run in enumerate(compared.runs)
    ]


def _place_text(axis: Axis, place: float | None) -> str:
    if place is None:
        return "-"
    return number_text(place) if axis.numbers else axis.categories[int(place)]


def metric_names(compared: ComparedRuns) -> list[str]:
    """Every metric; those that more runs have come first."""
    counts: dict[str, int] = {}
    for run in compared.runs:
        for name in run.metrics:
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))
