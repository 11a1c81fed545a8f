"""`/series`: a metric's points of some runs, few enough to be drawn; what charts.js asks for."""

from __future__ import annotations

import json
import math
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.analysis.metric_lines import metric_line, timed_line
from orchestrator.errors import UsageError
from orchestrator.record.record import Record
from orchestrator.record.run_record import is_run_id
from orchestrator.web.answers import session_of

MOST_RUNS = 100
WIDEST = 2000  # pixels
POINTS = 120_000  # of all lines of one answer together, about
# Of one answer. Whoever reads them holds a thread of the server, and a run may have a million points.
MOST_READ = 4_000_000  # points
MOST_SECONDS = 15.0


def asked_runs(record: Record, text: str, most: int = MOST_RUNS) -> list[str]:
    """Full ids from `a,b,c`, each once, in that order. UsageError for none, too many, or unknown ones."""
    words = list(dict.fromkeys(word for word in text.split(",") if word))
    if not 1 <= len(words) <= most:
        raise UsageError(f"{len(words)} runs are asked for", f"name 1 to {most} of them: runs=ID,ID")
    return list(dict.fromkeys(word if is_run_id(word) else record.find(word) for word in words))


def series(request: Request) -> Response:
    """`runs`, `metric`; `x`: step, time, order, or `metric:NAME`; `smooth`: 0 to 1; `width`: pixels.

    `time` is seconds since each run's own start; `without_times`: points that have none and are not drawn.
    `left_out`: the last of these runs, where those before them had `MOST_READ` points or took `MOST_SECONDS`.
    """
    asked, record = request.query_params, session_of(request).record
    runs = asked_runs(record, asked.get("runs", ""))
    name, x = asked.get("metric", ""), asked.get("x", "step")
    weight, width = _number(asked.get("smooth"), 0.0), _number(asked.get("width"), 600.0)
    stretches = max(50, int(min(width, WIDEST, POINTS / 2 / len(runs))))
    other = x.removeprefix("metric:") if x.startswith("metric:") else None
    lines: list[dict[str, Any]] = []
    read, end = 0, time.monotonic() + MOST_SECONDS
    for run in runs:
        if lines and (read >= MOST_READ or time.monotonic() >= end):
            break
        points = record.series(run, name)
        axis = None if other is None else record.series(run, other)
        read += len(points.values) + (0 if axis is None else len(axis.values))
        if x == "time":
            line = timed_line(points, stretches, weight)
        else:
            line = metric_line(points, axis, stretches, weight, by_order=x == "order")
        facts = line._asdict() | {"run": run, "reduced": line.reduced}
        if x == "time" and line.points < len(points.values):
            facts["without_times"] = len(points.values) - line.points
        if x == "step" and None in points.steps:
            facts["without_steps"] = True
        lines.append(facts)
    document = {"lines": lines, "left_out": runs[len(lines) :]}
    return Response(json.dumps(document, separators=(",", ":")), media_type="application/json")


def _number(text: str | None, default: float) -> float:
    try:
        found = float(text or default)
    except ValueError:
        return default
    return found if math.isfinite(found) and found >= 0 else default


routes = [Route("/series", series)]
