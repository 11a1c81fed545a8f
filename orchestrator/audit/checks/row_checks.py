"""Events against tables: what the ledger says was written, against what is there now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.audit.checks.ledger_checks import UNREADABLE
from orchestrator.audit.findings import Finding, Kind, Progress
from orchestrator.digest import canonical_json
from orchestrator.message_wording import shortened
from orchestrator.record.ledger.event_rules import broken_rules, changes_shared, said_too_much
from orchestrator.record.ledger.fold_events import OWNED, SHARED, LedgerEvent, fold
from orchestrator.structural_difference import differences

if TYPE_CHECKING:
    from orchestrator.record.ledger.audit_pages import Everything

SHOWN = 120  # characters of a value in a finding
NOT_TOLD = "no event of the ledger tells of it"
NO_ROW = "the ledger tells of it, and it has no row"


def run_findings(
    everything: Everything, since: datetime | None, total: int, progress: Progress
) -> Iterator[Finding]:
    """Every run, in pages: its rows, and its events folded."""
    done = 0
    for page in everything.runs(since):
        for one in page:
            if one.rows is None:
                yield Finding.of_run(Kind.UNREADABLE, one.run, one.trouble)
            else:
                yield from compare_run(one.run, one.events, one.rows)
        done += len(page)
        progress(done, max(total, done))
    for run in everything.runs_without_rows():
        yield Finding.of_run(Kind.ROW_MISSING, run, NO_ROW)
    for table, key in everything.orphans():
        detail = f"rows of {table} belong to key {key}, which is not there"
        yield Finding(kind=Kind.ROW_UNACCOUNTED, subject=table, detail=detail)


def compare_run(run: str, events: Iterable[LedgerEvent], rows: Mapping[str, Any]) -> Iterator[Finding]:
    said: dict[str, Any] = {}
    for index, problem in broken_rules((line.document for line in events), said):
        yield _rules_finding(index, problem, run)
    if not said:
        yield Finding.of_run(Kind.ROW_UNACCOUNTED, run, NOT_TOLD)
        return
    for where, expected, found in differences(said, dict(rows)):
        yield _row_finding(f"run {run}", where, expected, found, run)


def _rules_finding(index: int, problem: str, run: str | None) -> Finding:
    return Finding(kind=Kind.EVENT_RULES, subject=f"event {index}", detail=problem, run=run)


def _row_finding(subject: str, where: str, expected: Any, found: Any, run: str | None) -> Finding:
    kind = Kind.ROW_ALTERED
    if found is None and not isinstance(expected, str | int | float | bool):
        kind = Kind.ROW_MISSING
    elif expected is None and not isinstance(found, str | int | float | bool):
        kind = Kind.ROW_UNACCOUNTED
    detail = f"{where}: the ledger says {_short(expected)}, the row {_short(found)}"
    return Finding(kind=kind, subject=subject, detail=detail, run=run)


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    return shortened(repr(value), SHOWN)


class SharedRow(NamedTuple):
    """A job, an image with its layers, input data, a version of named data, or a box."""

    table: str
    key: str
    value: dict[str, Any] | None  # None: it cannot be read
    trouble: str = ""  # why


def shared_findings(everything: Everything) -> Iterator[Finding]:
    """Rows that several runs share, and what events say of them, from one state of the record."""
    with everything.snapshot() as now:
        rows = (SharedRow(*one) for one in now.shared())
        yield from compare_shared(now.shared_events(), rows, now.events)


def compare_shared(
    events: Iterable[LedgerEvent],
    rows: Iterable[SharedRow],
    find: Callable[[list[int]], Iterable[LedgerEvent]],
) -> Iterator[Finding]:
    """`find` reads events a second time, by their indexes."""
    told: SharedEvents = {}
    yield from _gather(events, told)
    for name, key, value, trouble in rows:
        indexes, digest = told.pop((name, key), ([], None))
        if value is None:
            yield Finding(kind=Kind.UNREADABLE, subject=f"{name} {key}", detail=trouble)
            continue
        row = value[name][key]
        subject = f"{name} {_called(row) or key}"
        if not indexes:
            yield Finding(kind=Kind.ROW_UNACCOUNTED, subject=subject, detail=NOT_TOLD)
        elif digest != _digest(value):
            said: dict[str, Any] = {}
            for line in find(indexes):
                with suppress(*UNREADABLE):
                    fold(said, _only(line.data, key))
            for where, expected, found in differences(said, value):
                yield _row_finding(subject, where, expected, found, None)
    for name, key in told:
        yield Finding(kind=Kind.ROW_MISSING, subject=f"{name} {key}", detail=NO_ROW)


def _called(row: Mapping[str, Any]) -> object:
    """What a shared row is called: a digest, a name, or of named data both name and version."""
    if "version" in row:
        return f"{row.get('name')}@{row['version']}"
    return row.get("digest") or row.get("name")


SharedEvents = dict[tuple[str, str], tuple[list[int], bytes | None]]


def _gather(events: Iterable[LedgerEvent], told: SharedEvents) -> Iterator[Finding]:
    """Collect (table, key) -> the indexes of its events; where it has one event, a digest of what that says.

    Events themselves are not kept: a million must fit in memory. Findings are about events that were put in.
    """
    for line in events:
        with suppress(*UNREADABLE):  # the event itself is a finding of its own (ledger_checks.py)
            number, kind, data = line.told
            problem = said_too_much(kind, data)
            keys = [(name, key) for name, rows in data.items() if name in SHARED for key in rows]
            for name, key in keys:
                indexes, _ = told.setdefault((name, key), ([], None))
                problem = problem or changes_shared(kind, name, data[name][key], new=not indexes)
                digest = None if indexes else _digest(_only(data, key))
                indexes.append(line.index)
                told[name, key] = (indexes, digest)
            if problem is not None:
                yield _rules_finding(number, problem, None)


def _only(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What an event says of one key."""
    return {
        name: {key: rows[key]}
        for name, rows in data.items()
        if (name in SHARED or name in OWNED) and key in rows
    }


def _digest(value: Mapping[str, Any]) -> bytes:
    return sha256(canonical_json(dict(value))).digest()
