"""What an output looks like, without running, unpacking or unpickling anything of it.

Every byte is a stranger's: what is read is bounded, images are known by their first bytes and not by their
name, and everything else is text or nothing.
"""

from __future__ import annotations

import csv
import io
import re
from typing import Any, NamedTuple

from orchestrator.digest import Digest
from orchestrator.record.store.blob_store import Store
from orchestrator.untrusted_json import strict_json
from orchestrator.view.forms.clean_text import clean_text
from orchestrator.view.forms.page import Table

LOOKED = 1 << 16  # bytes of a text that are shown
LARGEST_IMAGE = 8 << 20  # bytes
LONGEST_HEADER = 1 << 20  # bytes of the header of a file of tensors
ROWS, COLUMNS, TENSORS = 50, 30, 500
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_DTYPE = re.compile(r"[A-Z0-9_]{1,12}\Z")
_NPY = re.compile(
    r"\{'descr': '([<>|=]?[a-zA-Z]\d{1,3})', 'fortran_order': (?:True|False), 'shape': \(([\d, ]*)\)"
)


class Preview(NamedTuple):
    """`kind`: text, table, tensors, image, or none, with why."""

    kind: str
    text: str = ""
    table: Table | None = None
    cut: bool = False  # there is more than is shown
    why: str = ""


def preview(store: Store, digest: Digest, path: str, size: int) -> Preview:
    """StoreError where the store has not these bytes."""
    if size == 0:
        return Preview("none", why="the file is empty")
    with store.open(digest) as stream:
        head = stream.read(LOOKED)
        if image_type(head) is not None:
            if size > LARGEST_IMAGE:
                return Preview("none", why=f"an image of more than {LARGEST_IMAGE >> 20} MiB")
            return Preview("image")
        if (found := _safetensors(head, stream, size) or _npy(head)) is not None:
            return found
    text = _text(head, size > len(head))
    if text is None:
        return Preview("none", why="no text, image or table that can be shown without opening the file")
    cut = size > len(head)
    suffix = path.rpartition(".")[2].lower()
    if suffix in _DELIMITERS and (found := _csv(text, _DELIMITERS[suffix], cut)) is not None:
        return found
    return Preview("text", text=clean_text(text), cut=cut)


def image_type(head: bytes) -> str | None:
    """The type of an image that browsers draw without running anything: PNG, JPEG, WebP. By its bytes."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def _text(head: bytes, cut: bool) -> str | None:
    """None for what is no UTF-8. A character that the end of what was read cuts in two is left out."""
    if b"\0" in head:
        return None
    for end in range(len(head), len(head) - (4 if cut else 1), -1):
        try:
            return head[:end].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return None


def _csv(text: str, delimiter: str, cut: bool) -> Preview | None:
    rows: list[list[str]] = []
    wider = False
    lines = text if not cut else text.rpartition("\n")[0]
    try:
        for row in csv.reader(io.StringIO(lines), delimiter=delimiter):
            rows.append(row[:COLUMNS])
            wider = wider or len(row) > COLUMNS
            if len(rows) > ROWS:
                break
    except csv.Error:
        return None
    if not rows or not rows[0]:
        return None
    wide = max(map(len, rows))
    padded = [row + [""] * (wide - len(row)) for row in rows]
    more = cut or wider or len(rows) > ROWS
    return Preview("table", table=Table(padded[0], padded[1 : ROWS + 1]), cut=more)


def _safetensors(head: bytes, stream: Any, size: int) -> Preview | None:
    """Names, types and shapes from the header, which is JSON behind its length."""
    length = int.from_bytes(head[:8], "little")
    if len(head) < 10 or head[8:9] != b"{" or not 2 <= length <= min(LONGEST_HEADER, size - 8):
        return None
    header = head[8 : 8 + length]
    header += stream.read(length - len(header)) if len(header) < length else b""
    try:
        found = strict_json(header)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    rows: list[tuple[str, str, str]] = []
    named = [(name, entry) for name, entry in found.items() if name != "__metadata__"]
    for name, entry in named[:TENSORS]:
        if isinstance(entry, dict):
            shape, kind = entry.get("shape"), entry.get("dtype")
            known = isinstance(shape, list) and all(type(one) is int for one in shape)
            rows.append(
                (name, str(kind) if _DTYPE.match(str(kind)) else "?", _shape(shape) if known else "?")
            )
    return Preview("tensors", table=Table(("tensor", "type", "shape"), rows), cut=len(named) > TENSORS)


def _npy(head: bytes) -> Preview | None:
    if not head.startswith(b"\x93NUMPY"):
        return None
    found = _NPY.search(head[:1024].decode("latin-1"))
    if found is None:
        return None
    shape = [int(part) for part in found[2].split(",") if part.strip().isdigit()]
    table = Table(("tensor", "type", "shape"), [("array", found[1], _shape(shape))])
    return Preview("tensors", table=table)


def _shape(shape: Any) -> str:
    more = " x …" if len(shape) > 16 else ""
    return (
        " x ".join(one if len(one) <= 20 else f"{one[:20]}…" for one in map(str, shape[:16])) + more
        or "scalar"
    )
