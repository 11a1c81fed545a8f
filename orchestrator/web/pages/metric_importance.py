"""`/importance?job=J&metric=M&part=min`: what mattered for a metric, and the metric over each parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.analysis.importance.bounded_importance import bounded_importance
from orchestrator.analysis.importance.parameter_importance import Importance, Share
from orchestrator.analysis.importance.trials_of_runs import (
    PARTS,
    Gathered,
    gather,
    metric_and_part,
    trials_filter,
)
from orchestrator.analysis.parallel_axes import Axis, along, axis_of
from orchestrator.record.record import Record
from orchestrator.record.run_record import HistoryFilter, RunLine
from orchestrator.view.runs.importance_view import (
    ImportanceQuestion,
    importance_document,
    importance_notes,
    share_text,
    signs_text,
)
from orchestrator.web.answers import json_answer, page, session_of, wants_json

LOOKED_AT = 200  # newest runs, for the jobs that can be chosen
PLOTS = 20
WIDTH, HEIGHT = 240, 130  # of the points of a plot, in its own units


class Bar(NamedTuple):
    """A line of a table with a bar."""

    name: str
    part: float  # 0 to 1
    text: str
    sign: str = ""


class Plot(NamedTuple):
    """The metric over one parameter."""

    name: str
    share: str  # empty where it cannot be told
    sign: str
    path: str  # of an SVG: a dot a run
    ends: tuple[str, str]  # what stands at the left and the right
    heights: tuple[str, str]  # at the foot and the top
    scales: str
    runs: int


def metric_importance(request: Request) -> Response:
    asked, record = request.query_params, session_of(request).record
    newest = record.history.lines(HistoryFilter(archived=False, limit=LOOKED_AT))
    jobs = list(dict.fromkeys(line.job for line in newest))
    job = asked.get("job") or (jobs[0] if jobs else "")
    lines = _lines(record, job, asked.get("where") or None) if job else []
    names = sorted({name for line in lines for name in line.metrics})
    metric, part = metric_and_part(asked.get("metric") or (names[0] if names else ""), names)
    part = asked["part"] if asked.get("part") in PARTS else part
    gathered = gather(lines, metric, part)
    found = bounded_importance(gathered.trials)
    question = ImportanceQuestion(metric=metric, part=part)
    if wants_json(request):
        return json_answer(importance_document(question, gathered, found))
    return page(
        request,
        "importance.html",
        title="What mattered",
        jobs=jobs if job in jobs or not job else [job, *jobs],
        job=job,
        names=names,
        question=question,
        where=asked.get("where", ""),
        found=found,
        shares=[_bar(share) for share in found.shares],
        ended=_ended(gathered),
        notes=importance_notes(gathered, found) if names else [],
        plots=_plots(gathered, found),
        runs=gathered.runs,
    )


def _lines(record: Record, job: str, where: str | None) -> Sequence[RunLine]:
    return record.history.lines(trials_filter(job, where))


def _bar(share: Share) -> Bar:
    return Bar(", ".join(share.names), share.share, share_text(share), signs_text(share))


def _ended(gathered: Gathered) -> list[Bar]:
    """How the runs ended: those that failed are in no share, so they have a bar of their own."""
    whole = sum(gathered.ended.values())
    ordered = sorted(gathered.ended.items(), key=lambda pair: (pair[0] != "succeeded", pair[0]))
    return [Bar(word, count / whole, f"{count:,}") for word, count in ordered]


def _plots(gathered: Gathered, found: Importance) -> list[Plot]:
    """Of parameters that differ: those with the largest shares first."""
    trials = gathered.trials
    up = axis_of("", [trial.value for trial in trials])
    if up is None or len(trials) < 2:
        return []
    known = {name: share for share in found.shares for name in share.names}
    names = sorted({name for trial in trials for name in trial.params} - set(found.constant))
    names.sort(key=lambda name: -known[name].share if name in known else 0)
    plots = []
    for name in names:
        across = axis_of(name, [trial.params.get(name) for trial in trials])
        if across is not None and len(set(across.places) - {None}) > 1:
            plots.append(_plot(name, known.get(name), across, up))
    return plots[:PLOTS]


def _plot(name: str, share: Share | None, across: Axis, up: Axis) -> Plot:
    places = zip(along(across, across.logarithmic), along(up, up.logarithmic), strict=True)
    dots = {(round(x * WIDTH), round((1 - y) * HEIGHT)) for x, y in places if x is not None and y is not None}
    scales = [word for word, axis in (("across", across), ("up", up)) if axis.logarithmic]
    return Plot(
        name=name,
        share="" if share is None else share_text(share),
        sign="" if share is None else signs_text(Share([name], 0, [share.signs[share.names.index(name)]])),
        path="".join(f"M{x} {y}h0" for x, y in sorted(dots)),
        ends=_ends(across),
        heights=_ends(up),
        scales=f"logarithmic {' and '.join(scales)}" if scales else "",
        runs=sum(place is not None for place in across.places),
    )


def _ends(axis: Axis) -> tuple[str, str]:
    if not axis.numbers:
        return axis.categories[0], axis.categories[-1] if len(axis.categories) > 1 else ""
    known = [place for place in axis.places if place is not None]
    return f"{min(known):.4g}", f"{max(known):.4g}"


routes = [Route("/importance", metric_importance)]
