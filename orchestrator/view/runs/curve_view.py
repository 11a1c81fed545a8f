"""The points of a run's metrics: as a curve of characters, as a document, as CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from orchestrator.analysis.number_scale import share_between
from orchestrator.record.run_record import RunRecord
from orchestrator.run.metrics.series import Point
from orchestrator.view.forms.human_units import number_text, step_text
from orchestrator.view.forms.page import Block, Text, Tone, View
from orchestrator.view.runs.run_columns import csv_text

HEIGHT = 15  # lines of a curve
WIDEST = 120  # characters of a line


def curve_view(run: RunRecord, name: str, points: Sequence[Point], width: int) -> View:
    """`points`: those of this metric, one at the least."""
    listed = [{"step": point.step, "value": point.value} for point in points]
    return View({"run": run.id, "metric": name, "points": listed}, _page(run, name, points, width))


def series_csv(points: Sequence[Point]) -> str:
    """`metric,step,value` of each point."""
    return csv_text(
        {
            "metric": [point.name for point in points],
            "step": [point.step for point in points],
            "value": [point.value for point in points],
        }
    )


def _page(run: RunRecord, name: str, points: Sequence[Point], width: int) -> Iterator[Block]:
    yield Text(f"{name} of {run.id} ({run.job})", Tone.STRONG)
    last = points[-1]
    finite = [point for point in points if math.isfinite(point.value)]
    texts = [f"{len(points):,} points", f"last {_at(last)}"] if len(points) > 1 else [_at(last)]
    if len(finite) > 1:
        least, most = (pick(finite, key=lambda point: point.value) for pick in (min, max))
        texts += [f"least {_at(least)}", f"greatest {_at(most)}"]
    if len(finite) < len(points):
        texts.append(f"{len(points) - len(finite):,} not finite")
    yield Text(", ".join(texts))
    if len(finite) > 1:
        yield Text("\n" + "\n".join(curve_lines(finite, min(width, WIDEST))))


def _at(point: Point) -> str:
    return number_text(point.value) + step_text(point.step)


def curve_lines(points: Sequence[Point], width: int, height: int = HEIGHT) -> list[str]:
    """Finite points as lines of characters: a `*` for each, with the axes beside and below.

    The axis below is the step, or a point's number where some point has no step. Points that fall on the
    same character share its `*`.
    """
    steps = [point.step for point in points]
    stepped = None not in steps and len(set(steps)) > 1
    across = [float(step or 0) for step in steps] if stepped else [float(n) for n in range(len(points))]
    low, high = min(point.value for point in points), max(point.value for point in points)
    labels = [number_text(high), number_text(low)]
    margin = max(map(len, labels))
    columns = max(width - margin - 3, 10)
    cells = [[" "] * columns for _ in range(height)]
    first, last = min(across), max(across)
    for place, point in zip(across, points, strict=True):
        column = round(share_between(place, first, last) * (columns - 1))
        row = round((1 - share_between(point.value, low, high)) * (height - 1))
        cells[row][column] = "*"
    sides = [labels[0], *[""] * (height - 2), labels[1]]
    lines = [f"{side:>{margin}} |{''.join(row).rstrip()}" for side, row in zip(sides, cells, strict=True)]
    ends = f"{first:,.0f}", f"{last:,.0f}"
    lines.append(" " * margin + " +" + "-" * columns)
    under = f"{ends[0]}{ends[1]:>{max(columns - len(ends[0]), 1)}}"
    return [*lines, f"{' ' * margin}  {under}  {'step' if stepped else 'point'}"]
