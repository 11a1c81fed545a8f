"""What differs among many runs, as one flat table for a terminal or a file: a value a run for each field."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.record.run_record import RunRecord
from orchestrator.value import Value
from orchestrator.verdict.many_runs_difference import many_differences
from orchestrator.verdict.run_difference import Cell

MOST = 100  # runs in one table
_FIRST = ("params", "metrics")  # what people change, and what they look at


class DifferenceTable(Value):
    runs: tuple[str, ...]
    fields: dict[str, tuple[Cell, ...]]  # `params.lr` -> one value a run, in the order of `runs`
    equal: int  # fields that are the same in all


def difference_table(runs: Iterable[RunRecord]) -> DifferenceTable:
    """Every field whose value is not the same in all the runs.

    Series are let go run by run: each may have a million points, which no table shows.
    """
    found = many_differences([run.model_copy(update={"series": ()}) for run in runs])
    order = {name: place for place, name in enumerate(_FIRST)}
    sections = sorted(found.sections, key=lambda section: order.get(section.name, len(order)))
    fields = {f"{section.name}.{row.name}": row.cells for section in sections for row in section.differing}
    return DifferenceTable(
        runs=found.runs, fields=fields, equal=sum(section.equal for section in found.sections)
    )
