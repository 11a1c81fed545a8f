"""What people say of runs: notes, tags, names, and what is put away.

Rows are only added, so who said what and when stays; the present state is what the last rows say. Saying the
same thing again adds nothing. Writes take a connection inside a writing transaction (database.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, not_, select

from orchestrator.errors import UsageError
from orchestrator.record.database.among import among
from orchestrator.record.database.database_clock import now
from orchestrator.record.ledger import append_events, row_evidence
from orchestrator.record.run_record import Remark, RunAnnotations, RunName
from orchestrator.record.runs.run_states import inserted, key_of
from orchestrator.record.runs.unreadable_rows import readable
from orchestrator.record.schema import tables
from orchestrator.record.schema.table_alias import alias

LATEST = "latest"  # the run submitted last, wherever a run is named; so no run can have it as its alias
LONGEST_NOTE = 10_000  # characters
_TAG = re.compile(r"\w[\w.:/+-]{0,99}\Z")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}\Z")
_HEX = re.compile(r"[0-9A-Fa-f]+\Z")
# Kind of annotation -> the kind of its event in the ledger.
EVENTS = {
    "note": "run.noted",
    "tag": "run.tagged",
    "untag": "run.tagged",
    "name": "run.named",
    "unname": "run.named",
    "archive": "run.archived",
    "restore": "run.archived",
}
_PAIRS = (("tag", "untag"), ("name", "unname"), ("archive", "restore"))  # of each the last one counts
_WORDS = tuple(kind for pair in _PAIRS for kind in pair)


def is_name(text: str) -> bool:
    """Whether a run can have this name. What could be the beginning of an id cannot be a name."""
    return bool(_NAME.match(text)) and not _HEX.match(text)


def is_tag(text: str) -> bool:
    return bool(_TAG.match(text))


def is_alias(text: str) -> bool:
    """Whether people can give a run this name: `latest` has a meaning already."""
    return is_name(text) and text != LATEST


def every_remark(connection: Connection) -> list[Remark]:
    """All that was ever said of any run, oldest first."""
    return list(readable(connection.execute(_remarks()), _remark, lambda row: row.public_id))


def note(connection: Connection, run: str, text: str, by: str) -> bool:
    """Add a note. False, and nothing added, where this person's last note on the run has the same text."""
    text = text.strip()
    if not text:
        raise UsageError("a note without text", 'reprise note RUN "what is to be known of it"')
    if len(text) > LONGEST_NOTE:
        raise UsageError(f"a note of {len(text):,} characters", f"{LONGEST_NOTE:,} at most")
    key, table = key_of(connection, run), tables.annotation
    mine = (table.c.run_id == key) & (table.c.kind == "note") & (table.c.made_by == by)
    last = select(table.c.text).where(mine).order_by(table.c.id.desc()).limit(1)
    if connection.execute(last).scalar() == text:
        return False
    _say(connection, run, "note", by, text=text)
    return True


def tag(
    connection: Connection, run: str, words: Sequence[str], by: str, *, remove: bool = False
) -> list[str]:
    """Add or remove tags: those that changed."""
    for word in words:
        if not remove and not is_tag(word):
            raise UsageError(
                f"{word!r} is no tag", "100 letters, digits or . : / + - _ at most, a letter or digit first"
            )
    key = key_of(connection, run)
    present = set(marks_of(connection, [key])[key].tags)
    changed = [word for word in dict.fromkeys(words) if (word in present) is remove]
    for word in changed:
        _say(connection, run, "untag" if remove else "tag", by, word=word)
    return changed


def name(connection: Connection, word: str, run: str, by: str) -> str | None:
    """Give a name to a run, taking it from the run that has it: that run's id, or None."""
    if not is_name(word):
        raise UsageError(
            f"{word!r} cannot be an alias",
            "a letter, then letters, digits or . _ - (100 at most); never hex digits only: ids look so",
        )
    if word == LATEST:
        raise UsageError(f"{word!r} cannot be an alias", "it names the run submitted last, whichever that is")
    before = named(connection, word)
    if before != run:
        _say(connection, run, "name", by, word=word)
    return before


def unname(connection: Connection, word: str, by: str) -> str:
    """Take a name away: the id of the run that had it. UsageError where none has."""
    run = named(connection, word)
    if run is None:
        raise UsageError(f"no run has the alias {word}", "`reprise alias` lists aliases")
    _say(connection, run, "unname", by, word=word)
    return run


def archive(connection: Connection, runs: Sequence[str], by: str, *, restore: bool = False) -> list[str]:
    """Put runs away, or restore them: the ids of those that changed."""
    changed = []
    for run in dict.fromkeys(runs):
        key = key_of(connection, run)
        if (marks_of(connection, [key])[key].archived is not None) is restore:
            _say(connection, run, "restore" if restore else "archive", by)
            changed.append(run)
    return changed


def _say(connection: Connection, run: str, kind: str, by: str, *, word: str = "", text: str = "") -> None:
    said = Remark(run=run, kind=kind, word=word, text=text, by=by, at=now(connection))
    append_remark(connection, said)


def append_remark(connection: Connection, said: Remark) -> None:
    """Write down what was said as it is, and its event in the ledger. The caller has checked it."""
    row = {
        "run_id": key_of(connection, said.run),
        "kind": said.kind,
        "word": said.word,
        "text": said.text,
        "made_by": said.by,
        "made_at": said.at,
    }
    held = {str(inserted(connection, tables.annotation, row)): row_evidence.row_value(tables.annotation, row)}
    append_events.append(connection, EVENTS[said.kind], said.run, {"annotation": held})


def marks(connection: Connection, run: str) -> RunAnnotations:
    """What is said of a run now. UsageError for an unknown one."""
    key = key_of(connection, run)
    query = _remarks().where(tables.annotation.c.run_id == key, tables.annotation.c.kind == "note")
    notes = tuple(readable(connection.execute(query), _remark, lambda _: run))
    return marks_of(connection, [key])[key].model_copy(update={"notes": notes})


def remarks(connection: Connection, run: str) -> list[Remark]:
    """All that was ever said of a run, oldest first."""
    key = key_of(connection, run)
    rows = connection.execute(_remarks().where(tables.annotation.c.run_id == key))
    return list(readable(rows, _remark, lambda row: row.public_id))


def named(connection: Connection, word: str) -> str | None:
    """The run that has this name now."""
    table = tables.annotation
    last = _last(connection, table.c.kind.in_(("name", "unname")), table.c.word == word)
    return last.public_id if last is not None and last.kind == "name" else None


def last_said(connection: Connection, like: Remark) -> Remark | None:
    """The last remark here on the same alias, or on the same tag or archiving of the run."""
    table = tables.annotation
    pair = next(pair for pair in _PAIRS if like.kind in pair)
    same = [table.c.kind.in_(pair), table.c.word == like.word]
    if "name" not in pair:  # an alias goes from run to run
        same.append(tables.run.c.public_id == like.run)
    last = _last(connection, *same)
    return None if last is None else _remark(last)


def _last(connection: Connection, *conditions: ColumnElement[bool]) -> Row[Any] | None:
    rows = _remarks().where(*conditions).order_by(None).order_by(tables.annotation.c.id.desc())
    return connection.execute(rows.limit(1)).one_or_none()


def names(connection: Connection) -> list[RunName]:
    """Every name that was ever given, sorted, with its past."""
    rows = connection.execute(_remarks().where(tables.annotation.c.kind.in_(("name", "unname"))))
    past: dict[str, list[Row[Any]]] = {}
    for row in rows:
        past.setdefault(row.word, []).append(row)
    found = []
    for word, lines in sorted(past.items()):
        last = lines[-1] if lines[-1].kind == "name" else None
        found.append(
            RunName(
                name=word,
                run=last.public_id if last else None,
                job=last.job if last else None,
                past=tuple(readable(lines, _remark, lambda row: row.public_id)),
            )
        )
    return found


def is_archived() -> ColumnElement[bool]:
    """A condition over `run`: it is put away, and not restored since."""
    table, later = alias(tables.annotation, "put_away"), alias(tables.annotation, "put_back")
    back = exists().where(
        later.c.run_id == table.c.run_id, later.c.kind == "restore", later.c.id > table.c.id
    )
    return exists().where(
        and_(table.c.run_id == tables.run.c.id, table.c.kind == "archive", not_(back.correlate(table)))
    )


def has_tag(word: str) -> ColumnElement[bool]:
    """A condition over `run`: it has this tag now."""
    table, later = alias(tables.annotation, "tagged"), alias(tables.annotation, "untagged")
    off = exists().where(
        later.c.kind == "untag",
        later.c.word == word,
        later.c.run_id == table.c.run_id,
        later.c.id > table.c.id,
    )
    return exists().where(
        table.c.run_id == tables.run.c.id,
        table.c.kind == "tag",
        table.c.word == word,
        not_(off.correlate(table)),
    )


def marks_of(connection: Connection, keys: Sequence[int]) -> dict[int, RunAnnotations]:
    """Tags, names and whether they are put away, of runs by their keys; without the notes."""
    tags: dict[int, set[str]] = {key: set() for key in keys}
    away: dict[int, Remark | None] = dict.fromkeys(keys)
    called: dict[int, set[str]] = {key: set() for key in keys}
    for row in _words_of(connection, keys):
        match row.kind:
            case "tag":
                tags[row.run_id].add(row.word)
            case "untag":
                tags[row.run_id].discard(row.word)
            case "archive" | "restore":
                said = readable([row] if row.kind == "archive" else (), _remark, lambda row: row.public_id)
                away[row.run_id] = next(said, None)
            case _:
                called[row.run_id].add(row.word)
    # A name that went on to another run left no row here.
    words = sorted(set().union(*called.values()))
    holders = _holders(connection, words) if words else {}
    return {
        key: RunAnnotations(
            tags=tuple(sorted(tags[key])),
            names=tuple(sorted(word for word in called[key] if holders[word] == key)),
            archived=away[key],
        )
        for key in keys
    }


def _words_of(connection: Connection, keys: Sequence[int]) -> Iterator[Row[Any]]:
    table = tables.annotation
    some = among(connection, table.c.run_id, keys)
    yield from connection.execute(_remarks().where(some, table.c.kind.in_(_WORDS)))


def _holders(connection: Connection, words: Sequence[str]) -> dict[str, int | None]:
    """Name -> the key of the run that has it now."""
    table = tables.annotation
    held: dict[str, int | None] = {}
    some = among(connection, table.c.word, words)
    for row in connection.execute(_remarks().where(table.c.kind.in_(("name", "unname")), some)):
        held[row.word] = row.run_id if row.kind == "name" else None
    return held


def _remarks() -> Select[Any]:
    table, run, job = tables.annotation, tables.run, tables.job
    return (
        select(table, run.c.public_id, job.c.name.label("job"))
        .join(run, run.c.id == table.c.run_id)
        .outerjoin(job, job.c.id == run.c.job_id)
        .order_by(table.c.id)
    )


def _remark(row: Row[Any]) -> Remark:
    return Remark(
        run=row.public_id, kind=row.kind, word=row.word, text=row.text, by=row.made_by, at=row.made_at
    )
