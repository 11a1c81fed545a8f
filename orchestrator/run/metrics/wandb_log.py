"""W&B's file of an offline run, `run-ID.wandb`, read without W&B: its history, summary and configuration.

The file is a log in LevelDB's form: 7 bytes of header (`:W&B`, a magic number, a version), then blocks of
32 KiB, the first of which counts the header. A block holds pieces: CRC-32 of type and data (4 bytes),
length (2), type (1 byte: 1 full, 2 first, 3 middle, 4 last), data. Pieces make one protobuf `Record` each:
history = 2 (item = 1, step = 2), summary = 3 (update = 1), config = 5 (update = 1), run = 17 (config = 4,
summary = 5). An item has key = 1 or nested_key = 2, and value_json = 16; see wandb_internal.proto of W&B, and
its datastore.py.

The bytes come from a job: sizes are capped, checksums are checked, and what is not understood raises
EventFileError. A file that was cut off by a kill is read as far as it is whole.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from orchestrator.run.metrics.event_files import EventFileError, spans
from orchestrator.run.metrics.series import moment

MAX_SIZE = 64 << 20  # bytes of a file
MAX_RECORD = 16 << 20  # bytes; an artifact's manifest may be long
MAX_ITEMS = 20_000  # of one record
MAX_VALUE = 1 << 16  # bytes of one value's JSON that are read
MAX_PATH = 16  # keys of one nested name
MAX_KEY = 200  # bytes

KINDS = ("history", "summary", "config")
_PLAIN = {3: "summary", 5: "config"}  # field of a record -> what it holds

_HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
_BLOCK = 32 << 10
_PIECE = 7  # bytes before the data of a piece
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_BYTES, _VARINT = 2, 0
_OWN = ("_step", "_timestamp", "_runtime", "_wandb")


class LoggedItems(NamedTuple):
    """One record: what was logged at a step, the final values that a script set, or its configuration."""

    kind: str  # one of KINDS
    step: int | None
    items: tuple[tuple[str, Any], ...]  # name with dots -> JSON value
    at: float | None = None  # seconds since 1970


def read_wandb(stream: BinaryIO, kinds: Sequence[str] = KINDS) -> Iterator[LoggedItems]:
    """Every record of these kinds. EventFileError for another file, and at the first damage."""
    for record in _records(stream):
        for number, kind, start, end, _ in spans(record, 0, len(record)):
            if kind != _BYTES:
                continue
            if number == 2 and "history" in kinds:
                yield _history(record, start, end)
            elif number in _PLAIN and _PLAIN[number] in kinds:
                yield LoggedItems(_PLAIN[number], None, tuple(_items(record, start, end)))
            elif number == 17:
                yield from (item for item in _run(record, start, end) if item.kind in kinds)


def _records(stream: BinaryIO) -> Iterator[bytes]:
    if stream.read(len(_HEADER)) != _HEADER:
        raise EventFileError("it is no log of W&B that this release knows")
    place, parts, size = len(_HEADER), [], 0
    begun = False
    while True:
        rest = _BLOCK - place % _BLOCK
        if rest < _PIECE:
            stream.read(rest)
            place += rest
            continue
        head = stream.read(_PIECE)
        if not head:
            break
        if len(head) < _PIECE:
            raise EventFileError("its last record is cut off")
        crc, length, kind = struct.unpack("<IHB", head)
        if length > rest - _PIECE or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
            raise EventFileError("a piece of a record goes past its block")
        data = stream.read(length)
        place += _PIECE + length
        if len(data) < length:
            raise EventFileError("its last record is cut off")
        if zlib.crc32(data, zlib.crc32(head[6:])) != crc:
            raise EventFileError("the checksum of a record is wrong")
        if (kind in (_FULL, _FIRST)) is begun:
            raise EventFileError("the pieces of a record are out of order")
        size += length
        if place > MAX_SIZE or size > MAX_RECORD:
            raise EventFileError(f"it is larger than the {MAX_SIZE >> 20} MiB that are read")
        parts.append(data)
        begun = kind in (_FIRST, _MIDDLE)
        if not begun:
            yield b"".join(parts)
            parts, size = [], 0
    if begun:
        raise EventFileError("its last record is cut off")


def _history(data: bytes, begin: int, stop: int) -> LoggedItems:
    step: int | None = None
    for number, kind, start, end, _ in spans(data, begin, stop):
        if number == 2 and kind == _BYTES:
            step = next(
                (value for one, form, _, _, value in spans(data, start, end) if (one, form) == (1, _VARINT)),
                0,
            )
    found = list(_items(data, begin, stop, own=True))
    for name, value in found:
        if name == "_step" and type(value) is int:
            step = value
    at = next((moment(value) for name, value in found if name == "_timestamp"), None)
    kept = tuple((name, value) for name, value in found if name not in _OWN)
    return LoggedItems("history", step if step is None or 0 <= step < 1 << 63 else None, kept, at)


def _run(data: bytes, begin: int, stop: int) -> Iterator[LoggedItems]:
    for number, kind, start, end, _ in spans(data, begin, stop):
        if kind == _BYTES and number in (4, 5):
            yield LoggedItems("config" if number == 4 else "summary", None, tuple(_items(data, start, end)))


def _items(data: bytes, begin: int, stop: int, own: bool = False) -> Iterator[tuple[str, Any]]:
    """Names and values of the items in a record. W&B's own, which begin with `_`, only where asked for."""
    count = 0
    for number, kind, start, end, _ in spans(data, begin, stop):
        if number != 1 or kind != _BYTES:
            continue
        count += 1
        if count > MAX_ITEMS:
            raise EventFileError(f"a record of more than {MAX_ITEMS:,} items")
        item = _item(data, start, end)
        if item is not None and (own or not item[0].startswith("_")):
            yield item


def _item(data: bytes, begin: int, stop: int) -> tuple[str, Any] | None:
    keys: list[str] = []
    value: Any = None
    for number, kind, start, end, _ in spans(data, begin, stop):
        if kind != _BYTES:
            continue
        if number in (1, 2) and len(keys) < MAX_PATH:
            keys.append(data[start : min(end, start + MAX_KEY + 1)].decode("utf-8", "replace"))
        elif number == 16 and end - start <= MAX_VALUE:
            value = _json(data[start:end])
    return (".".join(keys), value) if keys and value is not None else None


def _json(text: bytes) -> Any:
    """A value without its lists: no metric, and large in memory. None for what is no JSON."""
    try:
        return _without_lists(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _without_lists(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_lists(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner is not None} or None
    return None if isinstance(value, list) else value
