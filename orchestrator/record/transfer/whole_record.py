"""All that a record holds for another: finished runs, what people said of them, named data.

`finished` reads; `bring_all` takes a connection inside a writing transaction (database.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection, select

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.record.run_record import Remark
from orchestrator.record.runs.annotations import (
    LONGEST_NOTE,
    append_remark,
    is_alias,
    is_tag,
    last_said,
)
from orchestrator.record.runs.run_states import key_of
from orchestrator.record.schema import tables
from orchestrator.record.transfer.data_names import BroughtNames, CarriedData, bring_names
from orchestrator.record.transfer.import_limits import LINE
from orchestrator.record.transfer.import_runs import Brought, Carried, bring_in
from orchestrator.run.attempt_model import FINAL_STATES
from orchestrator.value import YEARS, Value


class BroughtAll(Value):
    runs: tuple[Brought, ...]
    remarks: int  # that were not here
    kept: tuple[str, ...]  # aliases that stay with runs of this record
    marks_kept: tuple[str, ...]  # tags and archivings that stay: `RUN tag WORD`, `RUN archive`
    data: BroughtNames


def finished(connection: Connection) -> list[str]:
    """Ids of all finished runs, originals before their reruns."""
    run = tables.run
    query = select(run.c.public_id).where(run.c.state.in_(FINAL_STATES)).order_by(run.c.id)
    return list(connection.execute(query).scalars())


def _check(remark: Remark, runs: set[str]) -> None:
    """UsageError for what no person could have said of a run that comes in."""
    what = _wrong(remark) if remark.run in runs else "the file does not hold that run"
    if what is not None:
        raise UsageError(
            f"what is said of run {remark.run} cannot be recorded: {what}",
            "the file was altered, or made by another program: export the record again",
        )


def _wrong(remark: Remark) -> str | None:
    word, kind = remark.word, remark.kind
    if kind in ("tag", "untag"):
        fits = is_tag(word)
    elif kind in ("name", "unname"):
        fits = is_alias(word)
    else:
        fits = not word and kind in tables.ANNOTATIONS
    if not fits:
        return f"{kind!r:.20} {word!r:.120}"
    if len(remark.text) > LONGEST_NOTE or bool(remark.text.strip()) is not (kind == "note"):
        return "a note without text, or longer than notes are"
    if not remark.by or len(remark.by.encode("utf-8", "replace")) > LINE:
        return "it is by nobody"
    if remark.at.tzinfo is None or not YEARS[0] <= remark.at <= YEARS[1]:
        return "its moment is none of the years 1970 to 2200"
    return None


def bring_all(
    connection: Connection,
    items: Callable[[], Iterable[Carried]],
    remarks: Callable[[], Iterable[Remark]],
    data: Callable[[], Iterable[CarriedData]],
    by: str,
    source: Digest,
) -> BroughtAll:
    """Write down what is not here yet: runs as `bring_in` does, then what was said of them, by whom and
    when, and named data as `bring_names` does.

    An alias, a tag or an archiving stays what it is here where somebody here spoke last of it, and the other
    record does not know that. UsageError as of both, and for a remark that cannot be recorded, or on a run
    that does not come in; then nothing is written.
    """
    brought = bring_in(connection, items, by, source)
    kept = _kept(connection, remarks(), {item.run for item in brought})
    new = 0
    for remark in remarks():
        if _subject(remark) not in kept and not _is_said(connection, remark):
            append_remark(connection, remark)
            new += 1
    names = bring_names(connection, data)
    aliases = sorted(subject[-1] for subject in kept if subject[0] == "alias")
    marks = sorted(" ".join(subject) for subject in kept if subject[0] != "alias")
    return BroughtAll(
        runs=tuple(brought), remarks=new, kept=tuple(aliases), marks_kept=tuple(marks), data=names
    )


Subject = tuple[str, ...]


def _subject(remark: Remark) -> Subject:
    """What it decides together with others: of these the last one counts. Empty for a note."""
    match remark.kind:
        case "name" | "unname":
            return ("alias", remark.word)
        case "tag" | "untag":
            return (remark.run, "tag", remark.word)
        case "archive" | "restore":
            return (remark.run, "archive")
        case _:
            return ()


def _kept(connection: Connection, remarks: Iterable[Remark], runs: set[str]) -> set[Subject]:
    """The decisions of this record that the other one does not know, and that its remarks would change."""
    here: dict[Subject, Remark | None] = {}
    theirs: dict[Subject, tuple[str, str]] = {}
    for remark in remarks:
        _check(remark, runs)
        subject = _subject(remark)
        if not subject:
            continue
        if subject not in here:
            here[subject] = last_said(connection, remark)
        if here[subject] == remark:  # they know it: what they said later counts
            here[subject] = None
        theirs[subject] = (remark.kind, remark.run)
    return {
        subject
        for subject, last in here.items()
        if last is not None and (last.kind, last.run) != theirs[subject]
    }


def _is_said(connection: Connection, remark: Remark) -> bool:
    table = tables.annotation
    same = (table.c.kind == remark.kind) & (table.c.word == remark.word) & (table.c.text == remark.text)
    who = (table.c.made_by == remark.by) & (table.c.made_at == remark.at)
    mine = table.c.run_id == key_of(connection, remark.run)
    return connection.execute(select(table.c.id).where(mine & same & who)).first() is not None
