"""Writing an export of the ledger; its form is in export_form.py."""

from __future__ import annotations

import os
import shutil
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

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
)
from orchestrator.audit.exports.run_proofs import run_proofs
from orchestrator.audit.findings import Progress
from orchestrator.audit.keys import signing_key
from orchestrator.digest import CHUNK, Digest, canonical_json
from orchestrator.durable import fsync_folder, make_folder, sync_filesystem
from orchestrator.errors import AuditError, UsageError
from orchestrator.launch.session import Session
from orchestrator.record.ledger.merkle import leaf_hash
from orchestrator.record.ledger.snapshot import Snapshot
from orchestrator.record.store.blob_store import AbsentBlobError
from orchestrator.scratch import scratch_folder
from orchestrator.value import Value

_AUDIT = "`reprise audit` says what it is; an export of a damaged record would prove nothing"
EVERY = 1000  # lines or blobs between two calls of `progress`


class ExportedLedger(Value):
    """What an export holds."""

    folder: Path
    events: int
    runs: int
    blobs: int  # that runs name
    copied: int  # of those, how many are in the folder with their bytes
    missing: int  # with --blobs: those that the store does not have


def export(session: Session, folder: Path, progress: Progress, *, blobs: bool = False) -> ExportedLedger:
    """The record at one moment into a new folder, which is there whole or not at all.

    UsageError where the folder is there already, AuditError where the record cannot be read to its end.
    """
    folder = folder.absolute()
    if os.path.lexists(folder):
        raise UsageError(f"{folder} is there already", "name a folder that is not: it is written as a whole")
    try:
        make_folder(folder.parent)
        with scratch_folder(".reprise-ledger-", folder.parent) as above:
            made = above / "whole"
            made.mkdir(mode=0o755)
            done = _write(session, made, progress, with_blobs=blobs)
            sync_filesystem(made)
            made.rename(folder)
        fsync_folder(folder.parent)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror}", "name a folder that you may write, with room"
        ) from error
    return done.model_copy(update={"folder": folder})


def _write(session: Session, folder: Path, progress: Progress, *, with_blobs: bool) -> ExportedLedger:
    with session.record.everything.snapshot() as now:
        head = now.head()
        ledger = {
            "format": FORMAT,
            "origin": head.origin,
            "size": head.size,
            "root": head.root.hex(),
            "blobs": with_blobs,
        }
        _lines(folder / LEDGER, [canonical_json(ledger)])
        (folder / HEADS).write_text("".join(one.text for one in now.signed_heads()), "utf-8")
        (folder / KEYS).write_text(signing_key(session.settings).public.vkey + "\n", "utf-8")
        leaves: list[bytes] = []
        of_run: dict[str, array[int]] = {}
        events = _lines(folder / EVENTS, _events(now, progress, leaves, of_run))
        proofs = run_proofs(now.signed_heads(), leaves, of_run)
        _lines(folder / PROOFS, (canonical_json(one.model_dump(mode="json")) for one in proofs))
        runs = _lines(folder / RUNS, _runs(now))
        _lines(folder / SHARED, _shared(now))
        seen: set[Digest] = set()
        _lines(folder / BLOBS, _blobs(now, seen))
    copied = sum(_copied(session, folder, seen, progress)) if with_blobs else 0
    missing = len(seen) - copied if with_blobs else 0
    return ExportedLedger(
        folder=folder, events=events, runs=runs, blobs=len(seen), copied=copied, missing=missing
    )


def _lines(path: Path, lines: Iterable[bytes]) -> int:
    """Returns how many lines were written."""
    count = 0
    with path.open("xb") as stream:
        for line in lines:
            stream.write(line + b"\n")
            count += 1
    return count


def _events(
    now: Snapshot, progress: Progress, leaves: list[bytes], of_run: dict[str, array[int]]
) -> Iterator[bytes]:
    """The events' documents. `leaves` collects their hashes, `of_run` the indexes of each run's events."""
    total = now.head().size
    for count, line in enumerate(now.ledger_events(), 1):
        if b"\n" in line.document:
            raise AuditError(f"event {count - 1} is not in canonical form", _AUDIT)
        if line.run is not None:
            of_run.setdefault(line.run, array("Q")).append(len(leaves))
        leaves.append(leaf_hash(line.document))
        yield line.document
        if count % EVERY == 0:
            progress(count, max(count, total))


def _runs(now: Snapshot) -> Iterator[bytes]:
    for one in chain.from_iterable(now.runs()):
        if one.rows is None:
            raise AuditError(f"run {one.run} cannot be read: {one.trouble}", _AUDIT)
        yield canonical_json({"run": one.run, "rows": one.rows})


def _shared(now: Snapshot) -> Iterator[bytes]:
    for table, key, value, trouble in now.shared():
        if value is None:
            raise AuditError(f"{table} {key} cannot be read: {trouble}", _AUDIT)
        yield canonical_json({"table": table, "key": key, "value": value})


def _blobs(now: Snapshot, seen: set[Digest]) -> Iterator[bytes]:
    for line in now.blobs():
        if line.digest not in seen:
            seen.add(line.digest)
            yield canonical_json({"digest": line.digest, "what": line.what, "run": line.run})


def _copied(session: Session, folder: Path, digests: set[Digest], progress: Progress) -> Iterator[bool]:
    """Whether the store has each. Bytes are copied unchecked: whoever reads the export checks them."""
    for done, digest in enumerate(sorted(digests), 1):
        yield _copy(session, digest, blob_path(folder, digest))
        if done % EVERY == 0:
            progress(done, len(digests))


def _copy(session: Session, digest: Digest, path: Path) -> bool:
    try:
        source = session.store.open(digest)
    except AbsentBlobError:
        return False
    os.makedirs(path.parent, exist_ok=True)  # noqa: PTH103  (made durable all at once)
    with source, path.open("xb") as target:
        shutil.copyfileobj(source, target, CHUNK)
    return True
