"""`/runs/ID`: one run, as `reprise show` tells it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.view.runs.run_view import shown_run
from orchestrator.web.answers import session_of, view_page


def single_run(request: Request) -> Response:
    record = session_of(request).record
    run = record.run(record.find(request.path_params["run"]))
    view = shown_run(run, record.annotations.marks(run.id), record.history.verdicts(run.id))
    return view_page(request, f"{run.job} {run.id}", view)


routes = [Route("/runs/{run}", single_run)]
