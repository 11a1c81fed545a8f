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
from orchestrator.message_wording import listed
from orchestrator.record.store.blob_store import Store
from orchestrator.untrusted_json import strict_json
from orchestrator.view.forms.clean_text import clean_text
from orchestrator.view.forms.page import Table
from orchestrator.web.previews.bounded_zip import BoundedZip, opened_zip
from orchestrator.web.previews.pickle_reading import UnreadFileError
from orchestrator.web.previews.torch_file import LEGACY, PICKLE, read_torch_file

LOOKED = 1 << 16  # bytes of a text that are shown
LARGEST_IMAGE = 8 << 20  # bytes
MOST_PIXELS = 40_000_000  # a browser holds four bytes for each
LONGEST_HEADER = 1 << 20  # bytes of the header of a file of tensors
ROWS, COLUMNS, TENSORS = 50, 30, 500
ARRAYS = 100  # of an .npz: each is another place of the file to read from
NAMED = 5  # classes of objects
_HEADS = ("tensor", "type", "shape")
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
    note: str = ""  # what else to know of the tensors


def preview(store: Store, digest: Digest, path: str, size: int) -> Preview:
    """StoreError where the store has not these bytes."""
    if size == 0:
        return Preview("none", why="the file is empty")
    with store.open(digest) as stream:
        head = stream.read(LOOKED)
        if image_type(head) is not None:
            if size > LARGEST_IMAGE:
                return Preview("none", why=f"an image of more than {LARGEST_IMAGE >> 20} MiB")
            why = too_many_pixels(head + stream.read(LONGEST_HEADER - len(head)))
            if why:
                return Preview("none", why=why)
            return Preview("image")
        if (found := _safetensors(head, stream, size) or _npy(head) or _saved(head, stream)) is not None:
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


def too_many_pixels(head: bytes) -> str:
    """Why an image is not given to a browser, which decodes all of it: 8 MiB may hold 30,000 x 30,000 pixels.

    `head`: its first `LONGEST_HEADER` bytes. Empty for one that may be shown.
    """
    pixels = image_pixels(head)
    if pixels is None:
        return "an image whose width and height cannot be read"
    return f"an image of {pixels:,} pixels; {MOST_PIXELS:,} are shown" if pixels > MOST_PIXELS else ""


def image_pixels(head: bytes) -> int | None:
    """Width times height, as a browser believes them, from the first bytes of an image; None: not found."""
    if head.startswith(b"\x89PNG"):
        # The header of a PNG is its first chunk.
        return _product(head[16:20], head[20:24]) if head[12:16] == b"IHDR" else None
    return _jpeg_pixels(head) if head.startswith(b"\xff\xd8") else _webp_pixels(head)


def _jpeg_pixels(head: bytes) -> int | None:
    """From the frame header (ITU T.81, B.2.2). A line count of 0 comes later in the file: not found."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # without a length
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _product(head[at + 5 : at + 7], head[at + 7 : at + 9])
        else:
            at += 2 + max(2, int.from_bytes(head[at + 2 : at + 4], "big"))
    return None


def _webp_pixels(head: bytes) -> int | None:
    """From the first chunk: VP8 (RFC 6386, 9.1), VP8L or VP8X (RFC 9649)."""
    kind, data = head[12:16], head[20:30]
    if len(data) < 10:
        return None
    if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        return width * height or None
    if kind == b"VP8L" and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        return ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        return (int.from_bytes(data[4:7], "little") + 1) * (int.from_bytes(data[7:10], "little") + 1)
    return None


def _product(width: bytes, height: bytes) -> int | None:
    """None for 0, and for bytes that are not there."""
    return int.from_bytes(width, "big") * int.from_bytes(height, "big") or None


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
    return Preview("tensors", table=Table(_HEADS, rows), cut=len(named) > TENSORS)


def _saved(head: bytes, stream: Any) -> Preview | None:
    """A file of torch.save, or numpy's `.npz`."""
    if head.startswith(LEGACY):
        return Preview("none", why="a file in the form of PyTorch before 1.6, which is not read")
    if not head.startswith(b"PK\x03\x04"):
        return None
    try:
        with opened_zip(stream) as archive:
            names = [member.filename for member in archive.members]
            if any(name.endswith(PICKLE) for name in names):
                return _torch(archive)
            if all(name.endswith(".npy") for name in names):
                return _npz(archive)
    except UnreadFileError as error:
        return Preview("none", why=f"its tensors are not read: {error}")
    return None


def _torch(archive: BoundedZip) -> Preview:
    found = read_torch_file(archive, TENSORS)
    names = listed(found.classes, NAMED)
    note = f"It also holds objects of {names}: none is made, tensors in them are listed." if names else ""
    if not found.tensors:
        return Preview("none", why=f"a file of PyTorch in which no tensor is found. {note}".strip())
    rows = [
        (one.name, one.dtype, _shape(one.shape) + (f" ({one.doubt})" if one.doubt else ""))
        for one in found.tensors
    ]
    return Preview("tensors", table=Table(_HEADS, rows), cut=found.cut, note=note)


def _npz(archive: BoundedZip) -> Preview:
    rows: list[tuple[str, str, str]] = []
    for member in archive.members[:ARRAYS]:
        found = _npy_words(archive.head(member, 1024))
        kind, shape = found or ("?", "?")
        rows.append((member.filename.removesuffix(".npy"), kind, shape))
    return Preview("tensors", table=Table(_HEADS, rows), cut=len(archive.members) > ARRAYS)


def _npy(head: bytes) -> Preview | None:
    found = _npy_words(head)
    return None if found is None else Preview("tensors", table=Table(_HEADS, [("array", *found)]))


def _npy_words(head: bytes) -> tuple[str, str] | None:
    """Type and shape of an array in numpy's own form."""
    if not head.startswith(b"\x93NUMPY"):
        return None
    found = _NPY.search(head[:1024].decode("latin-1"))
    if found is None:
        return None
    shape = [int(part) for part in found[2].split(",") if part.strip().isdigit()]
    return found[1], _shape(shape)


def _shape(shape: Any) -> str:
    more = " x …" if len(shape) > 16 else ""
    return (
        " x ".join(one if len(one) <= 20 else f"{one[:20]}…" for one in map(str, shape[:16])) + more
        or "scalar"
    )
