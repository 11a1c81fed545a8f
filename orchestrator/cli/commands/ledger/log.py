"""reprise ledger log"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import json_option, read_since

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.launch.session import Session
    from orchestrator.record.ledger.read_ledger import LedgerEvent


@click.command("log")
@click.option("--run", metavar="RUN", help="Of this run.")
@click.option("--kind", "kinds", metavar="KIND", multiple=True, help="Such as run.finished, or run; repeat.")
@click.option("--since", metavar="WHEN", callback=read_since, help="Not older than 2d, 3h, or an ISO date.")
@click.option("--by", metavar="WHO", help="By this user, or user@machine.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The newest so many."
)
@json_option
def command(
    run: str | None, kinds: tuple[str, ...], since: datetime | None, by: str | None, limit: int, as_json: bool
) -> None:
    """Show what happened, from the ledger, the newest last.

    Who did it is what the machine said of its user when it was written; the ledger shows that nobody has
    changed it since, `reprise audit` checks that.

    JSON: `events`, each with `index`, `at`, `by`, `kind`, `run`, and `data`: the new values of rows; `limit`,
    and `more`: whether there are older ones than these.
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import DIM, line, table, tell
    from orchestrator.cli.terminal.human_units import moment_text
    from orchestrator.cli.verb_session import opened
    from orchestrator.record.ledger.read_ledger import EventFilter

    _refuse_unknown(kinds)
    with opened() as session:
        of_run = None if run is None else _find(session, run)
        wanted = EventFilter(run=of_run, kinds=kinds, since=since, by=by, limit=limit + 1)
        found = session.record.ledger.events(wanted)
    more, found = len(found) > limit, found[-limit:]
    if as_json:
        names = ("index", "at", "by", "kind", "run")
        events = [{name: getattr(one, name) for name in names} | {"data": data_of(one)} for one in found]
        print_document({"events": events, "limit": limit, "more": more})
    elif found:
        rows = [(str(one.index), moment_text(one.at), one.by, words(one)) for one in found]
        table(("event", "when", "by", "what"), rows, right=("event",))
    else:
        line("no such events")
    if more:
        tell(f"there are older events than these {limit:,}; --limit shows more of them", DIM)


def _refuse_unknown(kinds: tuple[str, ...]) -> None:
    """UsageError for a kind that no event can have: none would be found, which is no answer."""
    from difflib import get_close_matches

    from orchestrator.errors import UsageError
    from orchestrator.record.ledger.append_events import KINDS

    known = sorted({*KINDS, *(kind.partition(".")[0] for kind in KINDS)})
    for kind in kinds:
        if kind not in known:
            near = get_close_matches(kind, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"kinds are {', '.join(known)}"
            raise UsageError(f"--kind: there are no events of the kind {kind}", hint)


def _find(session: Session, text: str) -> str:
    """Also a run that has no row any more, by its full id: the ledger is what remembers it."""
    from orchestrator.errors import UsageError
    from orchestrator.record.ledger.read_ledger import EventFilter

    try:
        return session.record.find(text)
    except UsageError:
        if session.record.ledger.events(EventFilter(run=text.lower(), limit=1)):
            return text.lower()
        raise


def data_of(event: LedgerEvent) -> dict[str, Any] | None:
    """None of a damaged document."""
    try:
        return event.data
    except (ValueError, KeyError, TypeError):
        return None


def words(event: LedgerEvent) -> str:
    """`submitted digits as 3f2c…`: what happened, for people. Not cleaned."""
    from orchestrator.record.ledger.append_events import KINDS

    try:
        said = _WORDS[event.kind](event.run or "", event.data)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        said = KINDS.get(event.kind, event.kind) + (f": {event.run}" if event.run else "")
    return " ".join(said.split())


def _one(data: dict[str, Any], table: str) -> tuple[str, dict[str, Any]]:
    """(key, row) of the only row that an event tells of in a table."""
    rows: dict[str, dict[str, Any]] = data[table]
    return next(iter(rows.items()))


def _submitted(run: str, data: dict[str, Any]) -> str:
    original = data["run"].get("original")
    return f"submitted {data['run']['job']} as {run}" + (f", to repeat {original}" if original else "")


def _finished(run: str, data: dict[str, Any]) -> str:
    row = data["run"]
    failure, message = row.get("failure"), _text(row.get("message", ""))
    kind = f" ({failure})" if failure else ""
    return f"{run} {row['state']}{kind}" + (f": {message}" if message else "")


def _attempt(verb: str) -> Any:
    def said(run: str, data: dict[str, Any]) -> str:
        number, _ = _one(data, "attempt")
        return f"{verb} attempt {number} of {run}"

    return said


def _requeued(run: str, data: dict[str, Any]) -> str:
    number, row = _one(data, "launch")
    return f"gave up attempt {number} of {run}: {_text(row['ended'])}"


def _placed(run: str, data: dict[str, Any]) -> str:
    number, row = _one(data, "launch")
    return f"attempt {number} of {run} is {_text(row['ref'])} there"


def _launched(run: str, data: dict[str, Any]) -> str:
    number, row = _one(data, "launch")
    return f"launched attempt {number} of {run} on {_text(row['executor'])}"


def _judged(verb: str) -> Any:
    def said(run: str, data: dict[str, Any]) -> str:
        _, row = _one(data, "verdict")
        return f"{verb} {run} against {row['original']}: {row['outcome']}"

    return said


def _remarked(run: str, data: dict[str, Any]) -> str:
    _, row = _one(data, "annotation")
    word = _text(row["word"])
    return {
        "note": f"noted on {run}: {_text(row['text'])}",
        "tag": f"tagged {run} {word}",
        "untag": f"took the tag {word} from {run}",
        "name": f"named {run} {word}",
        "unname": f"took the name {word} from {run}",
        "archive": f"put {run} away",
        "restore": f"put {run} back",
    }[row["kind"]]


def _shared(verb: str, table: str, column: str | None) -> Any:
    def said(_run: str, data: dict[str, Any]) -> str:
        key, row = _one(data, table)
        return f"{verb} {_text(row[column] if column else key)}"

    return said


def _text(value: Any) -> str:
    """A text that is too long for an event is named by its digest there."""
    return f"({value['bytes']} bytes)" if isinstance(value, dict) else str(value)


_WORDS: dict[str, Any] = {
    "job.recorded": _shared("first used the job's name", "job", "name"),
    "image.recorded": _shared("first used image", "image", "digest"),
    "input.recorded": _shared("first used input data", "input_data", None),
    "box.introduced": _shared("introduced box", "box", "name"),
    "run.submitted": _submitted,
    "run.adopted": lambda run, data: f"found {run} of {data['run']['job']}, from before the ledger",
    "run.imported": lambda run, data: f"brought in {run} of {data['run']['job']}",
    "run.launched": _launched,
    "run.placed": _placed,
    "run.claimed": _attempt("began"),
    "run.planned": _attempt("fixed the container of"),
    "run.taken_over": _attempt("carried on"),
    "run.moved": lambda run, data: f"{run} is {data['run']['state']}",
    "run.requeued": _requeued,
    "run.cancel_requested": lambda run, _data: f"asked for the end of {run}",
    "run.finished": _finished,
    "run.noted": _remarked,
    "run.tagged": _remarked,
    "run.named": _remarked,
    "run.archived": _remarked,
    "verdict.given": _judged("judged"),
    "verdict.imported": _judged("brought in a verdict on"),
    "verdict.adopted": _judged("found a verdict on"),
    "store.mended": lambda _run, data: f"put {len(data['blobs'])} altered blobs again, from good bytes",
    "store.swept": lambda _run, data: f"removed {len(data['blobs'])} blobs from the store",
}
