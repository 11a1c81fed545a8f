"""`/runs/ID`: one run, as `reprise show` tells it, and behind it all that is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from orchestrator.errors import RepriseError
from orchestrator.launch.session import Session
from orchestrator.record.ledger.read_ledger import EventFilter
from orchestrator.record.run_record import RunAnnotations, RunRecord
from orchestrator.record.runs.author import person
from orchestrator.view.dashboard import run_sections
from orchestrator.view.forms.human_units import size_text
from orchestrator.view.forms.page import Block, Text, Tone
from orchestrator.view.runs.lineage_view import lineage_view
from orchestrator.view.runs.outputs_view import stands_for
from orchestrator.view.runs.run_view import shown_run
from orchestrator.web.answers import json_answer, link, page, session_of, wants_json
from orchestrator.web.pages.run_log import LogLines, log_lines
from orchestrator.web.pages.run_outputs import path_of

TAIL = 100  # lines of the log on the page itself
EVENTS = 200
OUTPUTS = 1_000  # that are listed
PATCH = 1 << 20  # bytes of a patch that are read: mostly all


class PagePart(NamedTuple):
    """A part of the page that can be folded."""

    name: str  # in the address: #packages
    title: str
    page: Iterable[Block]
    number: str = ""  # of the things in it


class OutputRow(NamedTuple):
    path: str
    size: str
    what: str  # the digest, shortened, or why there is none
    link: str  # where it is looked at; empty for what was not kept
    digest: str = ""


def single_run(request: Request) -> Response:
    session = session_of(request)
    record = session.record
    named = request.path_params["run"]
    run = record.run(record.find(named))
    if named != run.id:  # a shortened id or an alias: one run has one address
        return RedirectResponse(link(request, f"/runs/{run.id}"), 303)
    marks, verdicts = record.annotations.marks(run.id), record.history.verdicts(run.id)
    untrue = record.history.untrue_origins(run.id)
    if wants_json(request):
        return json_answer(shown_run(run, marks, verdicts, untrue=untrue).document)
    return page(
        request,
        "run.html",
        title=f"{run.job} {run.id}",
        run=run,
        marks=marks,
        # Outputs and notes have parts of their own on this page.
        view=shown_run(run.model_copy(update={"outputs": ()}), RunAnnotations(), verdicts, untrue=untrue),
        metrics=run_sections.metrics_page(record.history.line(run.id)),
        parameters=run_sections.parameters_page(run),
        outputs=list(_outputs(run)),
        more_outputs=max(len(run.outputs) - OUTPUTS, 0),
        log=_log(session, run.id),
        sections=list(_sections(session, run)),
        person=person(),
    )


def _outputs(run: RunRecord) -> Iterator[OutputRow]:
    for one in run.outputs[:OUTPUTS]:
        if one.digest is not None:
            yield OutputRow(one.path, size_text(one.size), stands_for(one), path_of(run.id, one), one.digest)
        else:
            yield OutputRow(one.path, "", stands_for(one), "")


def _log(session: Session, run: str) -> LogLines | str:
    """Or why it cannot be had: one part of a page must not lose the page."""
    try:
        return log_lines(session, session.record.logged_run(run), limit=TAIL)
    except RepriseError as error:
        return error.message


def _sections(session: Session, run: RunRecord) -> Iterator[PagePart]:
    """Those that hold something."""
    if run.notes:
        yield PagePart("gaps", "What was noticed", run_sections.gaps_page(run), str(len(run.notes)))
    if run.git is not None and run.git.patch_digest is not None:
        yield PagePart("patch", "Patch against the commit", _patch(session, run))
    if run.source:
        yield PagePart("source", "Source files", run_sections.source_page(run), f"{len(run.source):,}")
    if run.packages:
        yield PagePart("packages", "Packages", run_sections.packages_page(run), f"{len(run.packages):,}")
    if run.fingerprint is not None:
        yield PagePart("hardware", "Hardware", run_sections.hardware_page(run))
    if run.readbacks:
        yield PagePart("settings", "Determinism settings", run_sections.settings_page(run))
    if run.traces:
        yield PagePart("traces", "Traces", run_sections.traces_page(run), str(len(run.traces)))
    yield PagePart("lineage", "Lineage", lineage_view(session.record.history.lineage(run.id)).page)
    events = session.record.ledger.events(EventFilter(run=run.id, limit=EVENTS))
    number = f"the newest {EVENTS}" if len(events) == EVENTS else str(len(events))
    yield PagePart("events", "Ledger events", run_sections.events_page(events), number)


def _patch(session: Session, run: RunRecord) -> Iterator[Block]:
    assert run.git is not None and run.git.patch_digest is not None  # noqa: S101  (for mypy)
    try:
        patch, more = session.store.beginning(run.git.patch_digest, PATCH)
        yield from run_sections.patch_page(run, patch, more)
    except RepriseError as error:
        yield Text(error.message, Tone.ODD)


routes = [Route("/runs/{run}", single_run, methods=["GET"])]
