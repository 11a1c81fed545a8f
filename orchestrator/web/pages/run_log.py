"""`/runs/ID/log`: what a run wrote, searched; as `reprise logs` prints it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.launch.dispatch.find_log import log_chunks
from orchestrator.launch.session import Session
from orchestrator.record.run_record import LoggedRun
from orchestrator.redaction import redactor
from orchestrator.view.forms.clean_text import Cleaner
from orchestrator.view.runs.run_view import no_log
from orchestrator.web.answers import json_answer, page, session_of, wants_json

LINES = 500  # on one page
LONGEST_LINE = 4_000  # characters that are shown of one
LONGEST_HELD = 1 << 20  # characters that are searched as one line
READ = 64 << 20  # bytes of a log that are looked at
LONGEST_SEARCH = 200  # characters


class LogLines(NamedTuple):
    """Some lines of a log, with their numbers from 1."""

    lines: list[tuple[int, str]]
    total: int  # lines that were read
    found: int | None = None  # that match, of a search
    cut: bool = False  # the log is longer than what is looked at


def log_lines(
    session: Session, run: LoggedRun, *, at: int | None = None, find: str = "", limit: int = LINES
) -> LogLines:
    """Those around line `at`; those that hold `find`, in any case; else the last ones."""
    beginning = _Beginning(log_chunks(session, run, follow=False))
    whole = _clean(beginning)
    kept: list[tuple[int, str]] = []
    if find:
        word = find.lower()
        total = matches = 0
        for total, line in enumerate(whole, 1):
            if word in line.lower():
                matches += 1
                if len(kept) < limit:
                    kept.append((total, _around(line, word)))
        return LogLines(kept, total, matches, beginning.cut)
    if at is not None:
        first, total, kept = max(at - limit // 4, 1), 0, []
        for total, line in enumerate(whole, 1):
            if first <= total < first + limit:
                kept.append((total, _shortened(line)))
        if kept:
            return LogLines(kept, total, None, beginning.cut)
        return log_lines(session, run, limit=limit)  # `at` is beyond the end
    tail = deque(enumerate(map(_shortened, whole), 1), maxlen=limit)
    return LogLines(list(tail), tail[-1][0] if tail else 0, None, beginning.cut)


def _shortened(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"


def _around(line: str, word: str) -> str:
    """Of a long line the part that holds `word`."""
    start = max(line.lower().find(word) + len(word) - LONGEST_LINE, 0)
    part = line[start : start + LONGEST_LINE]
    return f"{'…' if start else ''}{part}{'…' if start + len(part) < len(line) else ''}"


class _Beginning(Iterable[bytes]):
    """The chunks of a log's first READ bytes, and whether there are more."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self.cut = chunks, False

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._chunks:
            size += len(chunk)
            if size > READ:
                self.cut = True
                return
            yield chunk


def _clean(chunks: Iterable[bytes]) -> Iterator[str]:
    """Whole lines, cleaned, however the log came in pieces. One of more than LONGEST_HELD is several."""
    cleaner, redacted = Cleaner(), redactor()
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + cleaner.feed(chunk)).split("\n")
        yield from map(redacted, lines)
        while len(rest) > LONGEST_HELD:
            yield redacted(rest[:LONGEST_HELD])
            rest = rest[LONGEST_HELD:]
    *lines, rest = (rest + cleaner.close()).split("\n")
    yield from map(redacted, lines if not rest else [*lines, rest])


def run_log(request: Request) -> Response:
    session = session_of(request)
    run = session.record.logged_run(session.record.find(request.path_params["run"]))
    find = request.query_params.get("find", "")[:LONGEST_SEARCH]
    asked = request.query_params.get("at", "")
    at = int(asked) if asked.isdecimal() and len(asked) < 10 else None
    found = log_lines(session, run, at=at, find=find)
    if wants_json(request):
        lines = [{"line": number, "text": text} for number, text in found.lines]
        return json_answer({"run": run.id, "lines": lines, "total": found.total, "found": found.found})
    nothing = "" if found.total else no_log(run)
    return page(
        request, "log.html", title=f"Log of {run.id}", run=run, log=found, find=find, at=at, nothing=nothing
    )


routes = [Route("/runs/{run}/log", run_log)]
