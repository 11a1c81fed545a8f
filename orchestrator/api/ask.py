"""Questions to the record: one run, or many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrator.api.run_handle import Run
from orchestrator.api.run_list import Runs
from orchestrator.errors import UsageError
from orchestrator.launch.session import Session
from orchestrator.record.run_record import HistoryFilter
from orchestrator.run.attempt_model import State
from orchestrator.settings import load

MOST = 1000  # runs, where no limit is given


def run(name: str) -> Run:
    """The run of an id, its beginning (four characters or more), an alias, or `latest`.

    UsageError where no run, or more than one, fits. RecordError where there is no record, or an older one.
    """
    settings = load()
    with Session.as_it_is(settings) as session:
        return Run(settings, session.record.run(session.record.find(name)))


def runs(
    *,
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = MOST,
    job: str | None = None,
    status: str | Sequence[str] = (),
    since: datetime | None = None,
    by: str | None = None,
    box: str | None = None,
    tag: str | None = None,
    archived: bool = False,
    reruns: bool = True,
) -> Runs:
    """Runs as `reprise history` lists them: newest first, or as `sort` says (`-metrics.accuracy`).

    `limit`: at most so many (None: all); `.more` says whether there are others. `since`: a moment with a time
    zone. `reruns=False` leaves out runs that repeat another. UsageError for a bad filter.
    """
    words = (status,) if isinstance(status, str) else tuple(status)
    known = {state.value: state for state in State}
    if wrong := [word for word in words if word not in known]:
        raise UsageError(f"status: {wrong[0]!r} is no state", f"one of {', '.join(known)}")
    if limit is not None and limit < 1:
        raise UsageError(f"limit: {limit} is less than one", "None asks for all runs")
    if since is not None and since.tzinfo is None:
        raise UsageError("since: a moment without a time zone", "datetime.now(UTC) - timedelta(days=2)")
    wanted = HistoryFilter(
        job=job,
        states=tuple(known[word] for word in words),
        since=since,
        where=where,
        sort=sort,
        by=by,
        box=box,
        tag=tag,
        archived=archived,
        reruns=None if reruns else False,
        limit=limit,
    )
    settings = load()
    with Session.as_it_is(settings) as session:
        history = session.record.history
        page = history.page(wanted)
        return Runs(settings, wanted, page, None if sort is None else history.field(sort))
