"""The form of an export: a folder that an outsider can check with public keys alone.

    ledger.json        format, origin, number of events, root (hex), whether blobs came with it
    events.jsonl       the exact bytes of every event, in order, one a line: the leaves of the tree
    checkpoints        signed notes, one after the other
    runs.jsonl         {"run", "rows"} of every run, as canonical JSON
    proofs.jsonl       of every run that the newest signed tree head covers: that head, and for each of its
                       events the leaf hash and the inclusion proof (run_proofs.py)
    shared.jsonl       {"table", "key", "value"} of jobs, images with layers, input data, boxes
    blobs.jsonl        {"digest", "what", "run"} of every blob that a run names
    keys               public keys of the box that wrote it, one a line; trust them only if you know them
    blobs/sha256/ab/…  the blobs themselves, with --blobs

Rows are as events tell of them (record/ledger/row_evidence.py). Nothing in such a folder is believed: names
are checked before they become paths, and no link is followed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import UsageError
from orchestrator.spec.plain_file import open_plain

FORMAT = 1
LEDGER, EVENTS, HEADS, RUNS, PROOFS, SHARED, BLOBS, KEYS, BYTES = (
    *("ledger.json", "events.jsonl", "checkpoints", "runs.jsonl", "proofs.jsonl"),
    *("shared.jsonl", "blobs.jsonl", "keys", "blobs"),
)
MAX_LINE = 256 << 20  # bytes; an event or a run's rows are a few kB, and long lists are digests
MAX_TEXT = 256 << 20  # bytes of `checkpoints`, `keys` and `ledger.json`


def blob_path(folder: Path, digest: Digest) -> Path:
    return folder / BYTES / "sha256" / digest.hex[:2] / digest.hex


def open_member(path: Path) -> BinaryIO:
    """A file of an export. UsageError for what is not there, or not a plain file."""
    try:
        return open_plain(path)
    except UsageError as error:
        raise UsageError(error.message, "`reprise ledger export DIR` writes such a folder") from error


def text_of(path: Path) -> str:
    with open_member(path) as stream:
        return stream.read(MAX_TEXT).decode("utf-8", "replace")


def members_of(line: bytes, *names: str) -> dict[str, Any]:
    """ValueError for other members, or JSON that is not canonical: a reader's own tools could see in it what
    this audit does not see.
    """
    found = json.loads(line)
    if not isinstance(found, dict) or found.keys() != set(names) or canonical_json(found) != line:
        raise ValueError("not in canonical form, or not with the members that belong there")
    return found


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """(offset, line without its newline). UsageError for a line of more than MAX_LINE bytes."""
    with open_member(path) as stream:
        offset = 0
        while line := stream.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise UsageError(
                    f"{path} has a line of more than {MAX_LINE} bytes", "it is not an export of Reprise"
                )
            yield offset, line.removesuffix(b"\n")
            offset += len(line)
