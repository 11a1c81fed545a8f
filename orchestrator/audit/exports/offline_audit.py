"""An audit of an export (export_form.py): no database, no engine, no store; public keys only."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.audit.checks.ledger_checks import UNREADABLE, tree_findings
from orchestrator.audit.checks.row_checks import NO_ROW, SharedRow, compare_run, compare_shared
from orchestrator.audit.exports.export_form import (
    BLOBS,
    EVENTS,
    FORMAT,
    HEADS,
    KEYS,
    LEDGER,
    PROOFS,
    RUNS,
    SHARED,
    blob_path,
    lines_of,
    members_of,
    open_member,
    text_of,
)
from orchestrator.audit.exports.run_proofs import RunProof, proof_problem
from orchestrator.audit.findings import Finding, Kind, Progress
from orchestrator.audit.heads.signed_note import split_notes
from orchestrator.audit.heads.witnesses import TreeHeads
from orchestrator.audit.keys import KnownKeys, PublicKey, read_public
from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import UsageError
from orchestrator.record.ledger.fold_events import SHARED as SHARED_TABLES
from orchestrator.record.ledger.fold_events import LedgerEvent, LedgerHead


def audit_offline(
    folder: Path,
    known: KnownKeys,
    witnesses: Sequence[Path],
    progress: Callable[[str], Progress],
) -> Iterator[Finding]:
    """Findings as of `audit`. Where no key is known, those in the export are used, and a finding says so.

    UsageError where the folder is not an export.
    """
    head, whole = _head(folder)
    came = read_public(str(_plain(folder / KEYS))) if known.empty or known.fingerprints else []
    keys = came if known.empty else known.among(came)
    if known.empty:
        names = ", ".join(f"{key.name} {key.fingerprint}" for key in came)
        yield Finding(
            kind=Kind.NOT_CHECKED,
            subject="whose keys these are",
            detail=f"signatures were checked with keys that came with the export ({names}); get them from "
            "whoever signs, and give them with --key",
        )
    heads = TreeHeads(head.origin, keys)
    yield from heads.texts(split_notes(text_of(folder / HEADS)), "the export's tree heads")
    if not known.empty and head.size and not heads.roots:
        detail = "none is signed by a key that was given"
        yield Finding(kind=Kind.HEAD_FORGED, subject="the export's tree heads", detail=detail)
    for path in witnesses:
        yield from heads.witness(path)
    yield from heads.rest()
    yield from heads.unsigned(head.size)
    events = _Events(folder / EVENTS)
    yield from tree_findings(head, events, heads.roots, progress("ledger"), str(LEDGER))
    named = _Named()
    if heads.roots:  # else NO_HEAD is found already
        signed = max(one.size for one in heads.roots)
        with open_member(folder / EVENTS) as stream:
            yield from _proofs(folder, events, stream, head.origin, keys, signed)
    with open_member(folder / EVENTS) as stream:
        yield from _rows(folder, events, stream, named, progress("rows"))
        yield from _shared(folder, events, stream)
    yield from _blobs(folder, named, progress("blobs"), whole=whole)


def _plain(path: Path) -> Path:
    open_member(path).close()
    return path


def _unreadable(file: str, number: int, error: Exception) -> Finding:
    detail = f"{type(error).__name__}: {error}"
    return Finding(kind=Kind.UNREADABLE, subject=f"line {number} of {file}", detail=detail)


def _head(folder: Path) -> tuple[LedgerHead, bool]:
    """The ledger's head, and whether the export has the bytes of blobs."""
    text = text_of(folder / LEDGER)
    try:
        found = json.loads(text)
        name = str(found["origin"]).removeprefix("reprise/")
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}, and this release reads {FORMAT}")
        head = LedgerHead(id=name, size=int(found["size"]), root=bytes.fromhex(found["root"]))
        return head, found["blobs"] is True
    except UNREADABLE as error:
        raise UsageError(
            f"{folder / LEDGER} cannot be read: {error}", "`reprise ledger export DIR` writes such a folder"
        ) from error


class _Events:
    """The events of an export in order; remembers where those of each run and of shared rows begin."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.of_run: dict[str, array[int]] = {}
        self.of_none = array("Q")  # events of jobs, images, inputs, boxes

    def __iter__(self) -> Iterator[LedgerEvent]:
        for index, (offset, document) in enumerate(lines_of(self._path)):
            line = _line(index, document)
            if line.run is None:
                self.of_none.append(offset)
            else:
                self.of_run.setdefault(line.run, array("Q")).append(offset)
            yield line


def _line(index: int, document: bytes) -> LedgerEvent:
    """An event at this place in the file; its columns are what the document says, if it can be read."""
    try:
        said = json.loads(document)
        moment = datetime.fromisoformat(said["at"])
        run = said["run"] if isinstance(said["run"], str) else None
        return LedgerEvent(
            index=index, at=moment, by=said["by"], kind=said["kind"], run=run, document=document
        )
    except UNREADABLE:
        return LedgerEvent(
            index=index,
            at=datetime.fromtimestamp(0).astimezone(),
            by="",
            kind="",
            run=None,
            document=document,
        )


def _at(stream: BinaryIO, offsets: Sequence[int]) -> Iterator[LedgerEvent]:
    for index, offset in enumerate(offsets):
        stream.seek(offset)
        yield _line(index, stream.readline().removesuffix(b"\n"))


def _proofs(
    folder: Path, events: _Events, stream: BinaryIO, origin: str, keys: Sequence[PublicKey], signed: int
) -> Iterator[Finding]:
    """Each run's own proof. `signed`: how many events the largest signed tree head covers."""
    proven: set[str] = set()
    for number, (_, text) in enumerate(lines_of(folder / PROOFS), 1):
        try:
            proof = RunProof.model_validate_json(text)
            if canonical_json(proof.model_dump(mode="json")) != text:
                raise ValueError("not in canonical form")
        except UNREADABLE as error:
            yield _unreadable(PROOFS, number, error)
            continue
        proven.add(proof.run)
        problem = proof_problem(proof, origin, _documents(stream, events.of_run.get(proof.run, ())), keys)
        if problem is not None:
            yield Finding.of_run(Kind.PROOF, proof.run, problem)
    for run in sorted(events.of_run.keys() - proven):
        if min(_documents(stream, events.of_run[run]), default=signed) < signed:
            yield Finding.of_run(Kind.PROOF, run, f"{PROOFS} has none")


def _documents(stream: BinaryIO, offsets: Sequence[int]) -> dict[int, bytes]:
    """Index -> document, by the index in each event, which its proof checks. Damaged events are left out."""
    found = {}
    for line in _at(stream, offsets):
        with suppress(*UNREADABLE):
            found[int(json.loads(line.document)["index"])] = line.document
    return found


class _Named:
    """Blobs that rows name."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}  # digest -> one run that names it
        # (run, table) whose rows are one digest: their blobs are not known
        self.untold: set[tuple[str, str]] = set()

    def add(self, run: str, rows: dict[str, Any]) -> None:
        self.told.update((digest, run) for digest in _named(rows))
        self.untold.update((run, table) for table, _ in NAMING if isinstance(rows.get(table), dict))


def _rows(
    folder: Path, events: _Events, stream: BinaryIO, named: _Named, progress: Progress
) -> Iterator[Finding]:
    """The rows of each run against its events. `named` collects the blobs that rows name."""
    seen: set[str] = set()
    for number, (_, text) in enumerate(lines_of(folder / RUNS), 1):
        try:
            one = members_of(text, "run", "rows")
            run, rows = str(one["run"]), dict(one["rows"])
        except UNREADABLE as error:
            yield _unreadable(RUNS, number, error)
            continue
        if run in seen:
            detail = f"line {number} of {RUNS} tells of it once more"
            yield Finding.of_run(Kind.ROW_UNACCOUNTED, run, detail)
        seen.add(run)
        named.add(run, rows)
        yield from compare_run(run, _at(stream, events.of_run.get(run, ())), rows)
        if number % 500 == 0:
            progress(number, max(number, len(events.of_run)))
    for run in sorted(events.of_run.keys() - seen):
        yield Finding.of_run(Kind.ROW_MISSING, run, NO_ROW)
    progress(len(seen), len(seen))


NAMING = (("output", "digest"), ("log", "digest"), ("git_state", "patch_digest"), ("trace", "digest"))


def _named(rows: dict[str, Any]) -> Iterator[str]:
    """Digests of blobs in the rows of a run, where they are listed; a long list is one digest."""
    for table, column in NAMING:
        listed = rows.get(table)
        for row in listed if isinstance(listed, list) else ():
            digest = Digest.parse(str(row.get(column))) if isinstance(row, dict) else None
            if digest is not None:
                yield digest


def _shared(folder: Path, events: _Events, stream: BinaryIO) -> Iterator[Finding]:
    unreadable: list[Finding] = []

    def rows() -> Iterator[SharedRow]:
        for number, (_, text) in enumerate(lines_of(folder / SHARED), 1):
            try:
                one = members_of(text, "table", "key", "value")
                table, key, value = str(one["table"]), str(one["key"]), dict(one["value"])
                if table not in SHARED_TABLES or not isinstance(value[table][key], dict):
                    raise ValueError("no row of a table that runs share")
            except UNREADABLE as error:
                unreadable.append(_unreadable(SHARED, number, error))
                continue
            yield SharedRow(table, key, value)

    def find(indexes: list[int]) -> Iterator[LedgerEvent]:
        return _at(stream, [events.of_none[index] for index in indexes])

    # Here an event's index is its place among those that belong to no run.
    yield from compare_shared(_at(stream, events.of_none), rows(), find)
    yield from unreadable


def _blobs(folder: Path, named: _Named, progress: Progress, *, whole: bool) -> Iterator[Finding]:
    """The bytes in the export against their digests; without bytes, how many blobs were not checked."""
    absent = count = 0
    left = dict(named.told)
    for number, (_, text) in enumerate(lines_of(folder / BLOBS), 1):
        try:
            one = members_of(text, "digest", "what", "run")
            digest, run = Digest(str(one["digest"])), str(one["run"])
            what = str(one["what"])
            detail = f"{what} of run {run}"
        except UNREADABLE as error:
            yield _unreadable(BLOBS, number, error)
            continue
        count += 1
        left.pop(digest, None)
        if digest not in named.told and (run, what) not in named.untold:
            detail = f"{BLOBS} has it as {what} of run {run}; no row names it"
            yield Finding(kind=Kind.ROW_UNACCOUNTED, subject=f"blob {digest}", detail=detail, run=run)
        path = blob_path(folder, digest)
        if not os.path.lexists(path):
            absent += 1
            if whole:
                detail = f"{detail}: it is not in the export"
                yield Finding(kind=Kind.BLOB_MISSING, subject=f"blob {digest}", detail=detail, run=run)
            continue
        trouble = _trouble(path, digest)
        if trouble is not None:
            detail = f"{detail}: {trouble}"
            yield Finding(kind=Kind.BLOB_ALTERED, subject=f"blob {digest}", detail=detail, run=run)
        if number % 500 == 0:
            progress(number, number)
    for digest_left, run in left.items():
        detail = f"a row of run {run} names it, and {BLOBS} does not"
        yield Finding(kind=Kind.BLOB_MISSING, subject=f"blob {digest_left}", detail=detail, run=run)
    if absent and not whole:
        detail = "their bytes are not in the export (`--blobs` takes them along)"
        yield Finding(kind=Kind.NOT_CHECKED, subject=f"{absent} of {count} blobs", detail=detail)
    progress(count, count)


def _trouble(path: Path, digest: Digest) -> str | None:
    try:
        with open_member(path) as stream:
            found = Digest.of_stream(stream)
    except UsageError as error:
        return error.message
    return None if found == digest else f"{path} is {found}"
