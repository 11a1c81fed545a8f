"""`/boxes`: who runs what where, and what waits; with a way to cancel, for those who may."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.errors import RepriseError
from orchestrator.launch.dispatch.dispatch_run import why_queued
from orchestrator.launch.session import Session
from orchestrator.launch.workers.box_fit import boxes_now
from orchestrator.record.run_record import BoxLine, HistoryFilter, RunLine
from orchestrator.run.attempt_model import OPEN_STATES, State
from orchestrator.view.box_view import boxes_view, open_runs_view
from orchestrator.web.answers import json_answer, page, session_of, wants_json

MOST = 200  # open runs that are shown
ASKED = 20  # queued runs of which it is asked why they wait


def boxes_and_queue(request: Request) -> Response:
    session = session_of(request)
    found = session.record.history.page(HistoryFilter(states=OPEN_STATES, limit=MOST))
    boxes = boxes_now(session)
    waiting = {line.id: why for line in found.lines[:ASKED] if (why := _why(session, line, boxes))}
    boxes_shown = boxes_view(boxes)
    runs_shown = open_runs_view(found.lines, waiting, more=found.next is not None)
    if wants_json(request):
        return json_answer({**boxes_shown.document, **runs_shown.document})
    return page(
        request, "boxes.html", title="Boxes", boxes=boxes_shown.page, runs=runs_shown.page, open=found.lines
    )


def _why(session: Session, line: RunLine, boxes: Sequence[BoxLine]) -> str:
    """Why a run waits; empty where that is not known."""
    if line.state is not State.QUEUED:
        return ""
    try:
        wanted = session.record.open_run(line.id).wanted
        return why_queued(session, line.id, wanted.executor, boxes)
    except RepriseError as error:
        return error.message


routes = [Route("/boxes", boxes_and_queue)]
