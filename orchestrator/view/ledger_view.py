"""Events of the ledger: what happened, in a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.message_wording import count
from orchestrator.record.ledger.append_events import KINDS
from orchestrator.record.ledger.read_ledger import LedgerEvent
from orchestrator.record.runs.unreadable_rows import WRONG
from orchestrator.view.forms.human_units import moment_text
from orchestrator.view.forms.page import Block, Table, Text, View


def events_view(events: Sequence[LedgerEvent], limit: int, more: bool) -> View:
    """Events, the newest last. `more`: older ones were left out."""
    names = ("index", "at", "by", "kind", "run")
    entries = [{name: getattr(one, name) for name in names} | {"data": data_of(one)} for one in events]
    return View({"events": entries, "limit": limit, "more": more}, _page(events))


def _page(events: Sequence[LedgerEvent]) -> Iterator[Block]:
    rows = [(str(one.index), moment_text(one.at), one.by, event_text(one)) for one in events]
    yield Table(("event", "when", "by", "what"), rows, right=("event",)) if rows else Text("no such events")


def data_of(event: LedgerEvent) -> dict[str, Any] | None:
    """The new values of rows; None if the event's document is damaged."""
    try:
        return event.data
    except WRONG:
        return None


def event_text(event: LedgerEvent) -> str:
    """`submitted digits as 3f2c…`. Control characters of a name are still in it."""
    try:
        text = SENTENCES[event.kind](event.run or "", event.data)
    except (*WRONG, StopIteration):
        text = KINDS.get(event.kind, event.kind) + (f": {event.run}" if event.run else "")
    return " ".join(text.split())


def _one(data: dict[str, Any], table: str) -> tuple[str, dict[str, Any]]:
    """Key and row of an event that changes one row of `table`."""
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
    def sentence(run: str, data: dict[str, Any]) -> str:
        number, _ = _one(data, "attempt")
        return f"{verb} attempt {number} of {run}"

    return sentence


def _launch(sentence: str, column: str) -> Any:
    def told(run: str, data: dict[str, Any]) -> str:
        number, row = _one(data, "launch")
        return sentence.format(number=number, run=run, value=_text(row[column]))

    return told


def _judged(verb: str) -> Any:
    def sentence(run: str, data: dict[str, Any]) -> str:
        _, row = _one(data, "verdict")
        return f"{verb} {run} against {row['original']}: {row['outcome']}"

    return sentence


def _remarked(run: str, data: dict[str, Any]) -> str:
    _, row = _one(data, "annotation")
    word = _text(row["word"])
    return {
        "note": f"noted on {run}: {_text(row['text'])}",
        "tag": f"tagged {run} {word}",
        "untag": f"took the tag {word} from {run}",
        "name": f"gave {run} the alias {word}",
        "unname": f"took the alias {word} from {run}",
        "archive": f"put {run} away",
        "restore": f"put {run} back",
    }[row["kind"]]


def _shared(verb: str, table: str, column: str | None) -> Any:
    def sentence(_run: str, data: dict[str, Any]) -> str:
        key, row = _one(data, table)
        return f"{verb} {_text(row[column] if column else key)}"

    return sentence


def _text(value: Any) -> str:
    """A text of an event. One that was too long for it is there as digest and size."""
    return f"({count(value['bytes'], 'byte')})" if isinstance(value, dict) else str(value)


SENTENCES: dict[str, Any] = {
    "job.recorded": _shared("first used the job's name", "job", "name"),
    "image.recorded": _shared("first used image", "image", "digest"),
    "input.recorded": _shared("first used input data", "input_data", None),
    "data.named": _shared("named data", "data_version", "name"),
    "box.introduced": _shared("introduced box", "box", "name"),
    "run.submitted": _submitted,
    "run.adopted": lambda run, data: f"found {run} of {data['run']['job']}, from before the ledger",
    "run.imported": lambda run, data: f"brought in {run} of {data['run']['job']}",
    "run.launched": _launch("launched attempt {number} of {run} on {value}", "executor"),
    "run.placed": _launch("attempt {number} of {run} is {value} there", "ref"),
    "run.claimed": _attempt("began"),
    "run.planned": _attempt("fixed the container of"),
    "run.taken_over": _attempt("carried on"),
    "run.moved": lambda run, data: f"{run} is {data['run']['state']}",
    "run.requeued": _launch("gave up attempt {number} of {run}: {value}", "ended"),
    "run.cancel_requested": lambda run, _data: f"asked for the end of {run}",
    "run.finished": _finished,
    "run.noted": _remarked,
    "run.tagged": _remarked,
    "run.named": _remarked,
    "run.archived": _remarked,
    "verdict.given": _judged("judged"),
    "verdict.imported": _judged("brought in a verdict on"),
    "verdict.adopted": _judged("found a verdict on"),
    "store.mended": lambda _run, data: (
        f"put {count(len(data['blobs']), 'altered blob')} again, from good bytes"
    ),
    "store.swept": lambda _run, data: f"removed {count(len(data['blobs']), 'blob')} from the store",
}
