"""`/compare?runs=A,B,C`: two to a hundred runs beside each other."""

from __future__ import annotations

import json
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.analysis.parallel_axes import Axis
from orchestrator.errors import UsageError
from orchestrator.launch.judge.run_source import source_of
from orchestrator.launch.watch import KeptNotes
from orchestrator.redaction import redact_known
from orchestrator.verdict.many_runs_difference import many_differences
from orchestrator.verdict.source_difference import code_difference
from orchestrator.view.forms.clean_text import clean_line
from orchestrator.view.runs.difference_view import code_view
from orchestrator.view.runs.many_runs_view import (
    DRAWN,
    ComparedRuns,
    axes,
    many_runs_view,
    metric_names,
    run_rows,
    section_page,
)
from orchestrator.web.answers import page, session_of, view_page, wants_json
from orchestrator.web.chart_lists import charts_of
from orchestrator.web.pages.metric_charts import asked_runs

BESIDE = ("params", "metrics")  # stand in the table of runs


def compared_runs(request: Request) -> Response:
    record = session_of(request).record
    ids = asked_runs(record, request.query_params.get("runs", ""))
    if len(ids) < 2:
        raise UsageError("one run is compared with nothing", "choose two runs or more")
    runs = [record.run(run) for run in ids]
    compared = ComparedRuns(runs, many_differences(runs))
    view = many_runs_view(compared)
    title = f"{len(runs)} runs compared"
    if wants_json(request):
        return view_page(request, title, view)
    shown = axes(compared)
    sections = [
        (section, section_page(compared, section))
        for section in compared.found.sections
        if section.differing and section.name not in BESIDE
    ]
    names = metric_names(compared)
    return page(
        request,
        "compare.html",
        title=title,
        ids=ids,
        jobs=sorted({run.job for run in runs}),
        rows=run_rows(compared, shown),
        axes=shown,
        drawing=_drawing(ids, shown),
        sections=sections,
        equal=sum(section.equal for section in compared.found.sections),
        charts=charts_of(ids, names[:DRAWN], record.history.named_lines(ids)),
        left_out=names[DRAWN:],
    )


def _drawing(ids: Sequence[str], shown: Sequence[Axis]) -> str:
    """What parallel.js draws, for an attribute."""
    axes_of = [
        axis._asdict()
        | {"name": clean_line(axis.name), "categories": [clean_line(one) for one in axis.categories]}
        for axis in shown
    ]
    return redact_known(json.dumps({"runs": list(ids), "axes": axes_of}))


def compared_code(request: Request) -> Response:
    """`/compare/code?runs=A,B`: the source files that differ, as a patch. What is not on this box is said."""
    session = session_of(request)
    ids = asked_runs(session.record, request.query_params.get("runs", ""), 2)
    if len(ids) != 2:
        raise UsageError("code is compared between two runs", "name both: runs=ID,ID")
    a, b = (session.record.run(run) for run in ids)
    watch = KeptNotes()
    one = source_of(session, a, watch, pulling=False)
    two = one if a.image == b.image else source_of(session, b, watch, pulling=False)
    view = code_view(a, b, code_difference(one, two))
    return view_page(
        request, f"Code of {a.id} and {b.id}", view, "compare_code.html", notes=watch.notes, ids=ids
    )


routes = [Route("/compare", compared_runs), Route("/compare/code", compared_code)]
