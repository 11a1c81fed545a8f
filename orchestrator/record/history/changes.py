"""What changed from run to run of a job: each against the one before it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, exists, select, true

from orchestrator.record.database.among import among
from orchestrator.record.run_record import Changed, Delta
from orchestrator.record.runs.unreadable_rows import readable
from orchestrator.record.schema import tables
from orchestrator.record.schema.table_alias import alias
from orchestrator.value import Plain, flat

Facts = dict[int, dict[str, Plain]]
_AT_ONCE = 5  # runs whose files are compared at a time: a folder has 10,000 of them
Files = dict[str, Plain]  # path -> SHA-256 in hex

# What is known only of a run that has executed: any other is skipped.
_RECORDED: dict[str, Table] = {
    "packages": tables.package,
    "code": tables.source_file,
    "hardware": tables.fingerprint,
}
_IN_THE_IMAGE = ("packages", "code", "base", "params", "seed", "inputs")  # the same in two runs of one image


def changes(connection: Connection, runs: Sequence[str], aspect: str) -> dict[str, Changed]:
    """The runs among these whose aspect (one of ASPECTS) differs from that of their job's run before."""
    pairs = list(_pairs(connection, runs, aspect))
    if aspect in _IN_THE_IMAGE:
        pairs = [pair for pair in pairs if pair.image_id != pair.image_before]
    keys = {pair.id for pair in pairs} | {pair.id_before for pair in pairs}
    facts = _READ[aspect](connection, sorted(keys))
    found = {}
    for pair in pairs:
        deltas = tuple(_deltas(facts.get(pair.id_before, {}), facts.get(pair.id, {})))
        if deltas:
            found[pair.public_id] = Changed(run=pair.public_id, before=pair.before, deltas=deltas)
    return _with_files(connection, found) if aspect == "inputs" else found


def _with_files(connection: Connection, found: dict[str, Changed]) -> dict[str, Changed]:
    """Beside each input that changed from one folder to another, the files that did: `images/a.png`."""
    runs, more = list(found), {}
    for start in range(0, len(runs), _AT_ONCE):
        some = runs[start : start + _AT_ONCE]
        deltas = [delta for run in some for delta in found[run].deltas]
        digests = {str(value) for delta in deltas for value in (delta.before, delta.after) if value}
        listed = files_of_folders(connection, sorted(digests))
        for run in some:
            more[run] = found[run].model_copy(update={"deltas": _file_deltas(found[run], listed)})
    return more


def _file_deltas(item: Changed, listed: Mapping[str, Files]) -> tuple[Delta, ...]:
    deltas = list(item.deltas)
    for delta in item.deltas:
        before, after = listed.get(str(delta.before)), listed.get(str(delta.after))
        if before and after:
            deltas += (
                one.model_copy(update={"name": f"{delta.name}/{one.name}"}) for one in _deltas(before, after)
            )
    return tuple(sorted(deltas, key=lambda one: one.name))


def files_of_folders(connection: Connection, digests: Sequence[str]) -> dict[str, Files]:
    """Digest of an input that is a folder -> its files, path to SHA-256 in hex; where they are recorded."""
    table = tables.input_file
    found: dict[str, Files] = {}
    for row in connection.execute(select(table).where(among(connection, table.c.folder, digests))):
        found.setdefault(row.folder, {})[row.path] = row.digest.removeprefix("sha256:")
    return found


def _pairs(connection: Connection, runs: Sequence[str], aspect: str) -> Iterable[Row[Any]]:
    """Each run with the run of its job that was submitted just before it: one look into an index per run."""
    run, earlier, before = tables.run, alias(tables.run, "earlier"), alias(tables.run, "before")
    same_moment = (earlier.c.created_at == run.c.created_at) & (earlier.c.id >= run.c.id)
    last = (
        select(earlier.c.id)
        .where(earlier.c.job_id == run.c.job_id, earlier.c.created_at <= run.c.created_at, ~same_moment)
        .where(_recorded(earlier, aspect))
        .order_by(earlier.c.created_at.desc(), earlier.c.id.desc())
        .limit(1)
        .correlate(run)
        .scalar_subquery()
    )
    query = (
        select(
            run.c.id,
            run.c.public_id,
            run.c.image_id,
            before.c.id.label("id_before"),
            before.c.public_id.label("before"),
            before.c.image_id.label("image_before"),
        )
        .select_from(run.join(before, before.c.id == last))
        .where(among(connection, run.c.public_id, runs), _recorded(run, aspect))
    )
    return connection.execute(query)


def _recorded(run: Any, aspect: str) -> Any:
    table = _RECORDED.get(aspect)
    return true() if table is None else exists().where(table.c.run_id == run.c.id)


def _deltas(before: dict[str, Plain], after: dict[str, Plain]) -> Iterable[Delta]:
    for name in sorted(before.keys() | after.keys()):
        a, b = before.get(name), after.get(name)
        if (type(a), a) != (type(b), b):
            yield Delta(name=name, before=a, after=b)


def _named(table: Table, name: str, value: str) -> Callable[[Connection, Sequence[int]], Facts]:
    def read(connection: Connection, keys: Sequence[int]) -> Facts:
        found: Facts = {}
        for row in _rows(connection, table, keys):
            found.setdefault(row.run_id, {})[row._mapping[name]] = row._mapping[value]
        return found

    return read


def _rows(connection: Connection, table: Table, keys: Sequence[int]) -> Iterable[Row[Any]]:
    return connection.execute(select(table).where(among(connection, table.c.run_id, keys)))


def _hardware(connection: Connection, keys: Sequence[int]) -> Facts:
    """The hardware that can change bits."""
    rows = _rows(connection, tables.fingerprint, keys)
    read = readable(rows, lambda row: (row.run_id, flat(json.loads(row.bit_class))), lambda row: row.run_id)
    return dict(read)


def _seed(connection: Connection, keys: Sequence[int]) -> Facts:
    run = tables.run
    query = select(run.c.id, run.c.seed).where(among(connection, run.c.id, keys))
    return {row.id: {"seed": row.seed} for row in connection.execute(query)}


def _base(connection: Connection, keys: Sequence[int]) -> Facts:
    run, image = tables.run, tables.image
    query = (
        select(run.c.id, image.c.base_name, image.c.base_digest)
        .join(image, image.c.id == run.c.image_id)
        .where(among(connection, run.c.id, keys))
    )
    return {row.id: {"base": f"{row.base_name} {row.base_digest}"} for row in connection.execute(query)}


_READ: dict[str, Callable[[Connection, Sequence[int]], Facts]] = {
    "packages": _named(tables.package, "name", "version"),
    "code": _named(tables.source_file, "path", "sha256"),
    "params": _named(tables.param, "name", "text"),
    "seed": _seed,
    "base": _base,
    "inputs": _named(tables.run_input, "name", "digest"),
    "hardware": _hardware,
}
ASPECTS = tuple(_READ)
