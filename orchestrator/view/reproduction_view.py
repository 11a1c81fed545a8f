"""A rerun beside its original, step by step: which phases are equal, and how a difference spreads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.record.run_record import RunRecord
from orchestrator.verdict.traces.difference_map import DifferenceMap, MapRow
from orchestrator.verdict.verdict_model import Verdict
from orchestrator.view.forms.page import Block, Table, Text, View
from orchestrator.view.verdict_view import verdict_page


class GridPicture(NamedTuple):
    """A grid as drawn: paths of cells by their kind, in units of 10 by 12."""

    width: int
    height: int
    same: str
    mixed: str
    apart: str
    cross: str


def grid_picture(rows: tuple[MapRow, ...]) -> GridPicture:
    """Cells: equal, some events equal, none equal. What differs has a cross besides its colour."""
    paths = {"same": "", "mixed": "", "apart": ""}
    cross = ""
    for line, row in enumerate(rows):
        for column, (there, apart) in enumerate(zip(row.there, row.apart, strict=True)):
            if there:
                kind = "same" if not apart else "apart" if apart == there else "mixed"
                paths[kind] += f"M{column * 10} {line * 12}h9v11h-9z"
                cross += f"M{column * 10 + 2} {line * 12 + 3}l5 5m0-5l-5 5" if apart else ""
    wide = max((len(row.there) for row in rows), default=1)
    return GridPicture(wide * 10, len(rows) * 12, paths["same"], paths["mixed"], paths["apart"], cross)


def reproduction_view(
    original: RunRecord, rerun: RunRecord, verdict: Verdict | None, found: DifferenceMap
) -> View:
    """JSON: `original`, `rerun`, `verdict` (null where there is none yet), `map`."""

    def page() -> Iterator[Block]:
        if verdict is not None:
            yield from verdict_page(verdict, original, rerun)
        else:
            yield Text(f"run {rerun.id} has no verdict yet")

    document = {"original": original.id, "rerun": rerun.id, "verdict": verdict, "map": found}
    return View(document, page())


def phases_table(found: DifferenceMap) -> Table:
    """The ribbon as numbers."""
    rows = [(row.phase.value, *_counts(row)) for row in found.phases]
    return Table(("phase", "events", "differ", "first at step"), rows)


def tensors_table(found: DifferenceMap) -> Table:
    """The map as numbers, those that differed first at the top."""
    rows = [(row.name, row.phase.value, *_counts(row)) for row in found.tensors]
    return Table(("tensor", "phase", "events", "differ", "first at step"), rows)


def _counts(row: MapRow) -> tuple[str, str, str]:
    first = "-" if row.first is None else f"{row.first:,}"
    return f"{sum(row.there):,}", f"{sum(row.apart):,}", first
