"""Events against tables: what the ledger says was written, beside what is there now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from orchestrator.audit.findings import Finding, Kind
from orchestrator.digest import canonical_json
from orchestrator.record.everything import Everything
from orchestrator.record.evidence import OWNED, SHARED, differences, fold
from orchestrator.record.ledger import EventLine

Step = Callable[[int, int], None]  # (done, total), for a progress bar
SHOWN = 120  # characters of a value in a finding


def run_findings(everything: Everything, since: datetime | None, total: int, step: Step) -> Iterator[Finding]:
    """Every run, in pages: its rows, and its events folded."""
    done = 0
    for page in everything.runs(since):
        for one in page:
            yield from compare(f"run {one.run}", one.events, one.rows, one.run)
        done += len(page)
        step(done, max(total, done))
    for run in everything.runs_without_rows():
        detail = "the ledger tells of it, and it has no row"
        yield Finding(kind=Kind.ROW_MISSING, subject=f"run {run}", detail=detail, run=run)
    for table, key in everything.orphans():
        detail = f"rows of {table} belong to key {key}, which is not there"
        yield Finding(kind=Kind.ROW_UNACCOUNTED, subject=table, detail=detail)


def compare(
    subject: str, events: list[EventLine], rows: Mapping[str, Any], run: str | None
) -> Iterator[Finding]:
    said: dict[str, Any] = {}
    for line in events:
        try:
            fold(said, line.data)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # the event itself is a finding of its own (ledger.py)
    if not said:
        detail = "no event of the ledger tells of it"
        yield Finding(kind=Kind.ROW_UNACCOUNTED, subject=subject, detail=detail, run=run)
        return
    for where, told, found in differences(said, dict(rows)):
        yield row_finding(subject, where, told, found, run)


def row_finding(subject: str, where: str, told: Any, found: Any, run: str | None) -> Finding:
    kind = Kind.ROW_ALTERED
    if found is None and not isinstance(told, str | int | float | bool):
        kind = Kind.ROW_MISSING
    elif told is None and not isinstance(found, str | int | float | bool):
        kind = Kind.ROW_UNACCOUNTED
    detail = f"{where}: the ledger says {_short(told)}, the row {_short(found)}"
    return Finding(kind=kind, subject=subject, detail=detail, run=run)


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def shared_findings(everything: Everything) -> Iterator[Finding]:
    """Rows that several runs share: jobs, images with their layers, input data, boxes."""
    told = _told_of_shared(everything)
    for name, key, value in everything.shared():
        subject = f"{name} {value[name][key].get('digest') or value[name][key].get('name') or key}"
        indexes, digest = told.pop((name, key), ((), None))
        if not indexes:
            detail = "no event of the ledger tells of it"
            yield Finding(kind=Kind.ROW_UNACCOUNTED, subject=subject, detail=detail)
        elif digest != _digest(value):
            said: dict[str, Any] = {}
            for line in everything.events(indexes):
                fold(said, _only(line.data, key))
            for where, one, other in differences(said, value):
                yield row_finding(subject, where, one, other, None)
    for name, key in told:
        detail = "the ledger tells of it, and it has no row"
        yield Finding(kind=Kind.ROW_MISSING, subject=f"{name} {key}", detail=detail)


def _told_of_shared(everything: Everything) -> dict[tuple[str, str], tuple[tuple[int, ...], bytes | None]]:
    """(table, key) -> its events, and the digest of what they say where it is one: a million images fit."""
    told: dict[tuple[str, str], tuple[tuple[int, ...], bytes | None]] = {}
    for line in everything.told_of_shared():
        try:
            keys = [(name, key) for name, rows in line.data.items() if name in SHARED for key in rows]
            for name, key in keys:
                before, _ = told.get((name, key), ((), None))
                digest = None if before else _digest(_only(line.data, key))
                told[name, key] = ((*before, line.index), digest)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # the event itself is a finding of its own (ledger.py)
    return told


def _only(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What an event says of one key."""
    return {
        name: {key: rows[key]}
        for name, rows in data.items()
        if (name in SHARED or name in OWNED) and key in rows
    }


def _digest(value: Mapping[str, Any]) -> bytes:
    return sha256(canonical_json(dict(value))).digest()
