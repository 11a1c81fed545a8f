"""Parts of pages that open tabs ask for every few seconds: made once after an event, for all tabs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from orchestrator.errors import RecordError
from orchestrator.record.ledger.fold_events import LedgerHead
from orchestrator.web.answers import as_it_was, marked, session_of

MOST = 200  # addresses of parts; a longer one has 16 KiB
LONGEST = 1 << 18  # bytes of a part that is kept

Question = tuple[object, ...]  # the address, and who asks


class MadePart(NamedTuple):
    of: LedgerHead  # what was recorded when it was made, or before
    mark: str  # its ETag
    text: bytes  # empty where it was not sent, or is long


class MadeParts:
    """What was last made for each address, of this process's templates. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: OrderedDict[Question, MadePart] = OrderedDict()

    def get(self, question: Question) -> MadePart | None:
        with self._lock:
            return self._made.get(question)

    def put(self, question: Question, made: MadePart) -> None:
        with self._lock:
            self._made[question] = made
            self._made.move_to_end(question)
            while len(self._made) > MOST:
                self._made.popitem(last=False)


def part_of_record(request: Request, make: Callable[[Request], Response]) -> Response:
    """A part that shows only what events of the ledger tell of: it is made once for each state of the ledger,
    for all tabs that have its address. What moves without an event (a box's heartbeat, a live log) stands in
    no such part; a row that was altered behind Reprise's back is seen when the page is loaded.
    """
    try:
        head = session_of(request).record.ledger.head()
    except RecordError:  # a damaged ledger hides no run
        return make(request)
    scope, parts = request.scope, _parts_of(request.app)
    question = (scope.get("root_path"), scope["path"], scope["query_string"], request.state.access)
    made = parts.get(question)
    if made is not None and made.of == head and request.headers.get("hx-request"):
        if (unchanged := as_it_was(request, made.mark)) is not None:
            return unchanged
        if made.text:
            return HTMLResponse(made.text, headers=marked(made.mark))
    answer = make(request)
    if answer.status_code in (200, 304):
        text = bytes(answer.body) if len(answer.body) <= LONGEST else b""
        parts.put(question, MadePart(head, answer.headers["etag"], text))
    return answer


def _parts_of(app: Starlette) -> MadeParts:
    found = app.state.made_parts
    assert isinstance(found, MadeParts)  # noqa: S101  (for mypy)
    return found
