"""What templates/charts.html draws: a chart a metric, each with its values as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.record.run_record import RunLine
from orchestrator.view.forms.human_units import number_text, step_text


class ChartRow(NamedTuple):
    """One run's values of the chart's metric, in words."""

    run: str
    last: str
    least: str
    greatest: str


class Chart(NamedTuple):
    metric: str
    runs: str  # a,b,c
    rows: Sequence[ChartRow] = ()  # none where the page has them in a table already


def charts_of(runs: Sequence[str], names: Sequence[str], lines: Sequence[RunLine] = ()) -> list[Chart]:
    """`names`: of metrics; `lines`: of the same runs, for the tables."""
    return [
        Chart(name, ",".join(runs), [_row(line, name) for line in lines if name in line.metrics])
        for name in names
    ]


def _row(line: RunLine, name: str) -> ChartRow:
    found = line.reached.get(name)
    last = number_text(line.metrics[name])
    if found is None:
        return ChartRow(line.id, last, "-", "-")
    return ChartRow(
        line.id,
        last + step_text(found.last_step),
        "-" if found.min is None else number_text(found.min) + step_text(found.min_step),
        "-" if found.max is None else number_text(found.max) + step_text(found.max_step),
    )
