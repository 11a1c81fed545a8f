"""`/`: the table of runs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.record.run_record import HistoryFilter
from orchestrator.view.runs.history_view import Answer, history_view
from orchestrator.web.answers import session_of, view_page

AT_ONCE = 50


def run_table(request: Request) -> Response:
    asked = request.query_params
    history = session_of(request).record.history
    wanted = HistoryFilter(
        where=asked.get("where") or None,
        sort=asked.get("sort") or None,
        after=asked.get("after") or None,
        archived=False,
        limit=AT_ONCE,
    )
    page = history.page(wanted)
    sorted_by = None if wanted.sort is None else history.field(wanted.sort)
    answer = Answer(wanted, page, sorted_by, () if page.lines else history.why_nothing(wanted))
    return view_page(request, "Runs", history_view(answer))


routes = [Route("/", run_table)]
