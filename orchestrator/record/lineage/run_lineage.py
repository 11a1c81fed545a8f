"""Where one run's output is another's input: by content, under any file name, or because it was asked for so.

An output is taken for an input where it holds the same bytes and its run was submitted before the other.
Empty files say nothing, and are left out. Where a run asked for the outputs of another one, the record says
so, and that run is the maker even if others left the same bytes. Of an imported run, that counts only where
this record has the same bytes there (origin_claims.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, case, false, null, select, true, union_all

from orchestrator.digest import Digest
from orchestrator.record.lineage.lineage_model import Kin, Lineage, Link, Match, Unmade
from orchestrator.record.lineage.origin_claims import untrue_inputs
from orchestrator.record.runs.annotations import is_archived
from orchestrator.record.runs.run_states import key_of
from orchestrator.record.runs.unreadable_rows import WRONG, UnreadableError, unreadable
from orchestrator.record.schema import tables
from orchestrator.record.schema.table_alias import alias
from orchestrator.spec.inputs import LISTED

MOST_RUNS = 500  # of one lineage
MOST_ROWS = 20_000  # of one look
SHOWN = 20  # matches of one link, and other makers of the same bytes

_original = alias(tables.run, "original")


class _Edge(NamedTuple):
    maker: int
    user: int
    input: str
    file: str | None
    output: str
    digest: str
    rerun: bool  # whether the maker is a rerun
    named: bool  # whether the user asked for the maker's outputs


def lineage(connection: Connection, run: str) -> Lineage:
    """The runs that led to this one, and those that it led to. UsageError for an unknown run, RecordError for
    an altered row.
    """
    try:
        return _lineage(connection, run)
    except UnreadableError:
        raise
    except WRONG as error:
        raise unreadable(f"the lineage of run {run}", error) from error


def _lineage(connection: Connection, run: str) -> Lineage:
    key = key_of(connection, run)
    above, higher, cut_above = _walk(connection, key, upwards=True)
    below, lower, cut_below = _walk(connection, key, upwards=False)
    kin = _kin(connection, higher | lower | {edge.maker for edge in above})
    ids = {number: item.id for number, item in kin.items()}
    asked = _asked(connection, higher | lower)
    return Lineage(
        run=run,
        runs={item.id: item for item in kin.values()},
        above=tuple(_links(above, ids, asked)),
        below=tuple(_links(below, ids, asked)),
        unmade=tuple(_unmade(connection, higher, above, ids, asked)),
        cut=cut_above or cut_below,
    )


def _walk(connection: Connection, start: int, *, upwards: bool) -> tuple[list[_Edge], set[int], bool]:
    """Edges, the runs that they touch, and whether there are more. Time has no circles, so it ends."""
    seen, frontier, edges, cut = {start}, [start], [], False
    while frontier:
        found = [_Edge(*row) for row in connection.execute(_edges(frontier, upwards=upwards))]
        cut = cut or len(found) >= MOST_ROWS
        wrong = untrue_inputs(connection, {edge.user for edge in found if edge.named})
        found = [edge for edge in found if not (edge.named and (edge.user, edge.input) in wrong)]
        edges += found
        beside = _beside(found) if upwards else set()
        reached = {edge.maker if upwards else edge.user for edge in found if edge not in beside} - seen
        frontier = sorted(reached)[: MOST_RUNS - len(seen)]
        cut = cut or len(frontier) < len(reached)
        seen |= set(frontier)
    beside = _beside(edges) if upwards else set()
    return (
        [edge for edge in edges if edge.user in seen and (edge.maker in seen or edge in beside)],
        seen,
        cut,
    )


def _beside(edges: Sequence[_Edge]) -> set[_Edge]:
    """From runs that left the same bytes as the one that was asked for: not followed further."""
    wanted = _wanted(edges)
    return {edge for edge in edges if wanted.get((edge.user, edge.input), edge.maker) != edge.maker}


def _wanted(edges: Sequence[_Edge]) -> dict[tuple[int, str], int]:
    """Key of a run and name of its input -> the run whose outputs were asked for."""
    return {(edge.user, edge.input): edge.maker for edge in edges if edge.named}


def _edges(keys: Sequence[int], *, upwards: bool) -> Select[Any]:
    """A query for edges: inputs that are files, and files in inputs that are folders."""
    item, file, output = tables.run_input.c, tables.input_file.c, tables.output.c
    maker, user = alias(tables.run, "maker"), alias(tables.run, "user_run")
    ends = (output.run_id.label("maker"), item.run_id.label("user"), item.name)
    rerun = maker.c.rerun_of.is_not(None).label("rerun")
    flags = (rerun, false().label("named"))
    whole = select(*ends, null().label("file"), output.path, output.digest, *flags).select_from(
        tables.run_input.join(tables.output, output.digest == item.digest)
    )
    part = select(*ends, file.path.label("file"), output.path, output.digest, *flags).select_from(
        tables.run_input.join(tables.input_file, file.folder == item.digest).join(
            tables.output, output.digest == file.digest
        )
    )

    def narrowed(query: Select[Any]) -> Select[Any]:
        return (
            query.join(maker, maker.c.id == output.run_id)
            .join(user, user.c.id == item.run_id)
            .where((item.run_id if upwards else output.run_id).in_(keys), output.size > 0)
            .where(_before(maker, user))
        )

    both = union_all(narrowed(whole), narrowed(part), _named(keys, upwards=upwards)).subquery()
    return select(both).order_by(both.c.maker, both.c.user).limit(MOST_ROWS)


def _named(keys: Sequence[int], *, upwards: bool) -> Select[Any]:
    """Inputs that were asked for as outputs of a run; of a single output with its bytes."""
    origin, item = tables.input_origin.c, tables.run_input.c
    maker, user = alias(tables.run, "maker"), alias(tables.run, "user_run")
    rerun = maker.c.rerun_of.is_not(None).label("rerun")
    ends = (maker.c.id.label("maker"), origin.run_id.label("user"), origin.name)
    return (
        select(*ends, null().label("file"), origin.path, item.digest, rerun, true().label("named"))
        .select_from(tables.input_origin)
        .join(tables.run_input, (item.run_id == origin.run_id) & (item.name == origin.name))
        .join(maker, maker.c.public_id == origin.run)
        .join(user, user.c.id == origin.run_id)
        .where((origin.run_id if upwards else maker.c.id).in_(keys), _before(maker, user))
    )


def _before(one: Any, other: Any) -> ColumnElement[bool]:
    """Whether a run was submitted before another. Those of this record are by their keys, whatever its clock
    said; others have only their moments.
    """
    here = one.c.imported_from.is_(None) & other.c.imported_from.is_(None)
    return case((here, one.c.id < other.c.id), else_=one.c.created_at < other.c.created_at)


def _asked(connection: Connection, keys: set[int]) -> dict[tuple[int, str], Row[Any]]:
    """Key of a run and name of its input -> how that was asked for, unless it is untrue here."""
    origin = tables.input_origin
    rows = connection.execute(select(origin).where(origin.c.run_id.in_(sorted(keys))))
    wrong = untrue_inputs(connection, keys)
    return {(row.run_id, row.name): row for row in rows if (row.run_id, row.name) not in wrong}


_Asked = Mapping[tuple[int, str], Row[Any]]


def _links(edges: Sequence[_Edge], ids: dict[int, str], asked: _Asked) -> Iterator[Link]:
    """If several runs left the same bytes, the maker is the one that was asked for, else the first one that
    is not a rerun.
    """
    wanted = _wanted(edges)
    by_place: dict[tuple[int, str, str | None], list[_Edge]] = {}
    for edge in edges:
        if not edge.named:
            by_place.setdefault((edge.user, edge.input, edge.file), []).append(edge)
    chosen: dict[tuple[int, int, str], list[_Edge]] = {
        (maker, user, name): [] for (user, name), maker in wanted.items()
    }
    others: dict[tuple[int, int, str], set[int]] = {link: set() for link in chosen}
    for same in by_place.values():
        maker = wanted.get((same[0].user, same[0].input))
        first = min(same, key=lambda edge: (edge.maker != maker, edge.rerun, edge.maker, edge.output))
        link = first.maker, first.user, first.input
        chosen.setdefault(link, []).append(first)
        others.setdefault(link, set()).update(edge.maker for edge in same if edge.maker != first.maker)
    for (maker, user, name), found in sorted(chosen.items()):
        found.sort(key=lambda edge: (edge.file or "", edge.output))
        yield Link(
            maker=ids[maker],
            user=ids[user],
            input=name,
            matches=tuple(
                Match(output=edge.output, file=edge.file, digest=Digest(edge.digest))
                for edge in found[:SHOWN]
            ),
            count=len(found),
            also=tuple(ids[key] for key in sorted(others[maker, user, name])[:SHOWN]),
            asked=asked[user, name].asked if wanted.get((user, name)) == maker else None,
        )


def _unmade(
    connection: Connection, keys: set[int], edges: Sequence[_Edge], ids: dict[int, str], asked: _Asked
) -> Iterator[Unmade]:
    item, data = tables.run_input.c, tables.input_data.c
    made = {(edge.user, edge.input) for edge in edges}
    query = (
        select(item.run_id, item.name, item.digest, data.folder, data.files)
        .select_from(tables.run_input.outerjoin(tables.input_data, data.digest == item.digest))
        .where(item.run_id.in_(sorted(keys)))
        .order_by(item.run_id, item.name)
    )
    for row in connection.execute(query):
        if (row.run_id, row.name) not in made:
            origin = asked.get((row.run_id, row.name))
            listed = row.folder is not None and (not row.folder or row.files <= LISTED)
            yield Unmade(
                run=ids[row.run_id],
                input=row.name,
                digest=row.digest,
                folder=row.folder,
                files=row.files,
                data=f"{origin.data}@{origin.version}" if origin is not None and origin.data else None,
                looked_at=listed,
            )


def _kin(connection: Connection, keys: set[int]) -> dict[int, Kin]:
    run, job = tables.run, tables.job
    query = (
        select(
            run.c.id.label("key"),
            run.c.public_id.label("id"),
            job.c.name.label("job"),
            run.c.state,
            run.c.submitted_by,
            run.c.created_at,
            run.c.imported_from.label("imported"),
            _original.c.public_id.label("rerun_of"),
            is_archived().label("archived"),
        )
        .outerjoin(job, job.c.id == run.c.job_id)
        .outerjoin(_original, _original.c.id == run.c.rerun_of)
        .where(run.c.id.in_(sorted(keys)))
    )
    rows = [row._asdict() for row in connection.execute(query)]
    found = {}
    for row in rows:
        key = row.pop("key")
        try:
            found[key] = Kin(**row)
        except WRONG as error:
            raise unreadable(f"run {row['id']}", error) from error
    return found
