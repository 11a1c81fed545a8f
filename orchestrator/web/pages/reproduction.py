"""`/runs/ID/reproduction`: a rerun beside its original, live while it runs, and how a difference spread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.launch.judge.open_evidence import open_evidence
from orchestrator.launch.session import Session
from orchestrator.record.run_record import RunRecord
from orchestrator.verdict.traces.difference_map import DifferenceMap, difference_map
from orchestrator.verdict.verdict_model import Verdict
from orchestrator.view.reproduction_view import (
    grid_picture,
    phases_table,
    reproduction_view,
    tensors_table,
)
from orchestrator.web.answers import json_answer, page, session_of, wants_json

_KEPT = 16  # maps of finished runs
# Traces of gigabytes may be read for one, also when whoever asked is gone.
_AT_ONCE = threading.Semaphore(2)
PATIENCE = 5.0  # seconds for one of these two places


def reproduction(request: Request) -> Response:
    session = session_of(request)
    record = session.record
    rerun = record.run(record.find(request.path_params["run"]))
    if rerun.rerun_of is None:
        raise UsageError(
            f"run {rerun.id} is no rerun, so there is nothing beside it", "open one of its reruns"
        )
    original = record.run(rerun.rerun_of)
    lines = [
        line
        for line in record.history.verdicts(rerun.id)
        if (line.run, line.original) == (rerun.id, original.id)
    ]
    verdict = Verdict.model_validate(lines[-1].document) if lines else None
    pair = _Pair((original.id, rerun.id), session, original, rerun)
    found = _map_of(pair) if rerun.state.final else DifferenceMap()
    view = reproduction_view(original, rerun, verdict, found)
    if wants_json(request):
        return json_answer(view.document)
    return page(
        request,
        "reproduction.html",
        title=f"Reproduction {rerun.id}",
        run=rerun,
        original=original,
        view=view,
        map=found,
        ribbon=grid_picture(found.phases),
        spread=grid_picture(found.tensors),
        phases=phases_table(found),
        tensors=tensors_table(found),
    )


@dataclass(frozen=True)
class _Pair:
    """Two finished runs, known again by their ids."""

    ids: tuple[str, str]
    session: Session  # compared by identity
    original: RunRecord = field(compare=False)
    rerun: RunRecord = field(compare=False)


@lru_cache(maxsize=_KEPT)
def _map(pair: _Pair) -> DifferenceMap:
    opened = open_evidence(pair.session.store, pair.original, pair.rerun)
    if not _AT_ONCE.acquire(timeout=PATIENCE):
        raise InfrastructureError("the traces of other runs are being read", "ask in a minute")
    try:
        found = difference_map(pair.original, pair.rerun, opened)
    finally:
        _AT_ONCE.release()
    if found.unread:
        raise _UnreadError(found)
    return found


class _UnreadError(Exception):
    """A trace could not be had: a cache must not keep that, as the next time it may be there."""

    def __init__(self, found: DifferenceMap) -> None:
        super().__init__(found.problem)
        self.found = found


def _map_of(pair: _Pair) -> DifferenceMap:
    try:
        return _map(pair)
    except _UnreadError as error:
        return error.found


routes = [Route("/runs/{run}/reproduction", reproduction, methods=["GET"])]
