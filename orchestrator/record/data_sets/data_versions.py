"""Names for data: versions 1, 2, 3 … of each name, which are never changed nor removed.

Writes take a connection inside a writing transaction (database.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, literal, null, select

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.message_wording import did_you_mean
from orchestrator.record.data_sets.data_model import DataMention, DataUse, DataVersion
from orchestrator.record.database.among import among
from orchestrator.record.database.database_clock import now
from orchestrator.record.runs.run_states import inserted, record_input_data, record_shared
from orchestrator.record.runs.unreadable_rows import WRONG, readable, unreadable
from orchestrator.record.schema import tables
from orchestrator.spec.inputs import InputData, InputFile

MOST = 1000  # rows of one answer about uses or files
NAMED = 20  # names that a hint lists

_table = tables.data_version
_data = tables.input_data


def add(connection: Connection, name: str, data: InputData, by: str) -> tuple[DataVersion, bool]:
    """Name data: (its version, whether that is a new one). The same bytes again are the version they were."""
    known = _first(connection, _table.c.name == name, _table.c.digest == data.digest)
    if known is not None:
        return known, False
    record_input_data(connection, data)
    last = connection.execute(select(func.max(_table.c.version)).where(_table.c.name == name)).scalar()
    key = append_version(connection, name, (last or 0) + 1, data.digest, by, now(connection))
    made = _first(connection, _table.c.id == key)
    assert made is not None  # noqa: S101  (it was written just now)
    return made, True


def append_version(
    connection: Connection, name: str, version: int, digest: Digest, by: str, at: datetime
) -> int:
    """Write down a version as it is, and its event in the ledger: its key. The caller has checked it."""
    row = {"name": name, "version": version, "digest": digest, "added_by": by, "added_at": at}
    key = inserted(connection, _table, row)
    record_shared(connection, "data.named", _table, key, row)
    return key


def find(connection: Connection, name: str, version: int | None = None) -> DataVersion:
    """A version of a name, the last one where none is named. UsageError says what there is instead."""
    number = () if version is None else (_table.c.version == version,)
    found = _first(connection, _table.c.name == name, *number)
    if found is not None:
        return found
    last = _first(connection, _table.c.name == name)
    if last is not None:
        raise UsageError(
            f"data {name} has no version {version}",
            f"its versions go from 1 to {last.version}; `reprise data show {name}` lists them",
        )
    known = list(connection.execute(select(_table.c.name).distinct().order_by(_table.c.name)).scalars())
    raise UsageError(f"no data has the name {name}", _instead(name, known))


def _instead(name: str, known: Sequence[str]) -> str:
    if near := did_you_mean(name, known, ""):
        return f"{near} `reprise data list` names all"
    there = f"there is {', '.join(known[:NAMED])}" + (" …" if len(known) > NAMED else "")
    return f"{there if known else 'no data has a name yet'}; `reprise data add PATH --name {name}` names some"


def versions(connection: Connection, name: str | None = None) -> list[DataVersion]:
    """All versions of all names, or of one: sorted by name, the last version of each first."""
    query = _versions() if name is None else _versions().where(_table.c.name == name)
    rows = connection.execute(query.order_by(_table.c.name, _table.c.version.desc()))
    return list(readable(rows, _version, lambda row: row.name, "data"))


def names_of(connection: Connection, digests: Sequence[Digest]) -> dict[Digest, list[DataVersion]]:
    """Digest -> versions of named data with these bytes, the oldest first."""
    some = among(connection, _table.c.digest, sorted(set(digests)))
    rows = connection.execute(_versions().where(some).order_by(_table.c.id))
    found: dict[Digest, list[DataVersion]] = {}
    for item in readable(rows, _version, lambda row: row.name, "data"):
        found.setdefault(item.digest, []).append(item)
    return found


def uses(connection: Connection, data: DataVersion) -> list[DataUse]:
    """Runs that took these bytes as an input, the newest first; MOST of them at most."""
    run, job, item, origin = tables.run, tables.job, tables.run_input, tables.input_origin
    asked = (origin.c.run_id == item.c.run_id) & (origin.c.name == item.c.name)
    by_name = (origin.c.data == data.name) & (origin.c.version == data.version)
    query = (
        select(
            run.c.public_id.label("run"),
            job.c.name.label("job"),
            item.c.name.label("input"),
            func.coalesce(by_name, literal(False)).label("named"),
            run.c.submitted_by,
            run.c.created_at,
        )
        .select_from(item)
        .join(run, run.c.id == item.c.run_id)
        .join(job, job.c.id == run.c.job_id)
        .outerjoin(origin, asked)
        .where(item.c.digest == data.digest)
        .order_by(run.c.id.desc(), item.c.name)
        .limit(MOST)
    )
    return list(
        readable(connection.execute(query), lambda row: DataUse(**row._asdict()), lambda row: row.run)
    )


def mentions(connection: Connection, digests: Sequence[Digest]) -> list[DataMention]:
    """Named data with these bytes, as a whole or as a file in it; the oldest first, MOST of each kind."""
    wanted, file = sorted(set(digests)), tables.input_file
    whole = _mention(_table.c.digest, null()).where(among(connection, _table.c.digest, wanted))
    inside = _mention(file.c.digest, file.c.path).join(file, file.c.folder == _table.c.digest)
    found = [
        item
        for query in (whole, inside.where(among(connection, file.c.digest, wanted)))
        for item in readable(
            connection.execute(query.order_by(_table.c.id).limit(MOST)),
            lambda row: DataMention(**row._asdict()),
            lambda row: row.name,
            "data",
        )
    ]
    return sorted(found, key=lambda item: (item.at, item.name, item.version, item.path or ""))


def _mention(digest: Any, path: Any) -> Select[Any]:
    return select(
        _table.c.name,
        _table.c.version,
        path.label("path"),
        digest.label("digest"),
        _table.c.added_by.label("by"),
        _table.c.added_at.label("at"),
    )


def known_input(connection: Connection, digest: Digest) -> InputData | None:
    """What the record holds of an input: the files of a folder, where they were recorded. None: nothing.

    UnreadableError where a row of it was altered.
    """
    row = connection.execute(select(_data).where(_data.c.digest == digest)).one_or_none()
    if row is None:
        return None
    try:
        files = tuple(_files(connection, digest))
        return InputData(digest=digest, folder=row.folder, count=row.files, size=row.size, files=files)
    except WRONG as error:
        raise unreadable(f"input data {digest}", error) from error


def _files(connection: Connection, folder: Digest) -> Iterator[InputFile]:
    file = tables.input_file
    for row in connection.execute(select(file).where(file.c.folder == folder).order_by(file.c.position)):
        yield InputFile(path=row.path, digest=row.digest, size=row.size)


def _first(connection: Connection, *conditions: Any) -> DataVersion | None:
    """The last version that fits. UnreadableError where its row was altered: no other one is taken for it."""
    query = _versions().where(*conditions).order_by(_table.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    try:
        return None if row is None else _version(row)
    except WRONG as error:
        raise unreadable(f"data {row.name}", error) from error  # type: ignore[union-attr]


def _versions() -> Select[Any]:
    return select(_table, _data.c.folder, _data.c.files, _data.c.size).outerjoin(
        _data, _data.c.digest == _table.c.digest
    )


def _version(row: Row[Any]) -> DataVersion:
    return DataVersion(
        name=row.name,
        version=row.version,
        digest=row.digest,
        folder=row.folder,
        files=row.files,
        size=row.size,
        by=row.added_by,
        at=row.added_at,
    )
