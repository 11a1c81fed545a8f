"""Lists every field in which some of two to a hundred runs differ: `run_difference` for more than two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from orchestrator.record.run_record import RunRecord
from orchestrator.structural_difference import unequal_names
from orchestrator.value import Value
from orchestrator.verdict.run_difference import Cell, all_metrics, facts_of, output_cell

MOST = 100  # runs in one table
_FIRST = ("params", "metrics")  # what people change, and what they look at


class FieldRow(Value):
    """One field of all runs; None for those that have none."""

    name: str
    cells: tuple[Cell, ...]


class FieldSection(Value):
    """`differing`: sorted by name; `equal`: how many fields are the same in all."""

    name: str
    differing: tuple[FieldRow, ...]
    equal: int


class ManyDifferences(Value):
    runs: tuple[str, ...]
    sections: tuple[FieldSection, ...]  # always all of them, in the order of `run_difference.difference`

    def section(self, name: str) -> FieldSection:
        return next(section for section in self.sections if section.name == name)


def many_differences(runs: Sequence[RunRecord]) -> ManyDifferences:
    """Any records, in their order. Outputs are compared by path and digest."""
    facts = [_facts(run) for run in runs]
    names = facts[0] if facts else {}
    sections = tuple(_differing(name, [one[name] for one in facts]) for name in names)
    return ManyDifferences(runs=tuple(run.id for run in runs), sections=sections)


def _facts(run: RunRecord) -> dict[str, Mapping[str, Cell]]:
    plain = facts_of(run)
    result = plain.pop("result")
    outputs = {output.path: output_cell(output) for output in run.outputs}
    return {**plain, "metrics": all_metrics(run), "outputs": outputs, "result": result}


def _differing(name: str, facts: Sequence[Mapping[str, Cell]]) -> FieldSection:
    unequal = {field for one in facts[1:] for field in unequal_names(facts[0], one)}
    rows = tuple(
        FieldRow(name=field, cells=tuple(one.get(field) for one in facts)) for field in sorted(unequal)
    )
    return FieldSection(name=name, differing=rows, equal=len({key for one in facts for key in one} - unequal))


class DifferenceTable(Value):
    runs: tuple[str, ...]
    fields: dict[str, tuple[Cell, ...]]  # `params.lr` -> one value a run, in the order of `runs`
    equal: int  # fields that are the same in all


def difference_table(runs: Iterable[RunRecord]) -> DifferenceTable:
    """Every field whose value is not the same in all the runs."""
    found = many_differences(list(runs))
    order = {name: place for place, name in enumerate(_FIRST)}
    sections = sorted(found.sections, key=lambda section: order.get(section.name, len(order)))
    fields = {f"{section.name}.{row.name}": row.cells for section in sections for row in section.differing}
    return DifferenceTable(
        runs=found.runs, fields=fields, equal=sum(section.equal for section in found.sections)
    )
