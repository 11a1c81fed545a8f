"""TensorBoard's event files, read without TensorBoard: framed records of one protobuf message each.

A record is `length (8 bytes), masked CRC-32C of it, data, masked CRC-32C of the data`, its data an `Event`:
wall_time = 1, step = 2, file_version = 3, summary = 5 (repeated value = 1: tag = 1, simple_value = 2,
tensor = 8); see event.proto and summary.proto of TensorFlow. The bytes come from a job: lengths are capped,
checksums are checked, and what is not understood raises EventFileError.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import google_crc32c

from orchestrator.run.metrics.series import TimedPoint, moment
from orchestrator.spec.shown_names import is_plain

MARK = ".tfevents."  # in the name: events.out.tfevents.TIME.HOST.PID.N
MAX_SIZE = 64 << 20  # bytes of a file
MAX_RECORD = 32 << 20  # bytes
MAX_TAG = 200  # characters
MAX_SCALARS = 10_000  # of one record; writers put one in each
MAX_FIELDS = 100_000  # of one message: two bytes make a field, and a field an object of a hundred

# Moments in the names of folders: seconds since 1970, SummaryWriter's `Nov23_12-30-00`, dates with a time.
_MOMENT = re.compile(
    r"\d{10}(\.\d+)?|[A-Z][a-z]{2}\d{2}_\d{2}-\d{2}-\d{2}"
    r"|\d{4}-?\d{2}-?\d{2}[T_ -]?\d{2}[:-]?\d{2}([:-]?\d{2})?"
)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT, _DOUBLE = 1, 2  # DataType of a tensor


class EventFileError(Exception):
    """Not an event file, or a damaged one; in words that need no path."""


class Scalar(NamedTuple):
    tag: str
    value: float


class EventRecord(NamedTuple):
    step: int
    payload: tuple[tuple[int, bytes], ...]  # every field but the clock: (number, its raw bytes), in order
    scalars: tuple[Scalar, ...]


def is_event_file(path: str) -> bool:
    return MARK in path.rsplit("/", 1)[-1]


def timeless(folder: str) -> str:
    """A folder's name without the moments in it, which differ from run to run."""
    return _MOMENT.sub("TIME", folder)


def read_events(stream: BinaryIO) -> Iterator[EventRecord]:
    """Every event of an open file. EventFileError at the first thing that is wrong.

    That includes a last record that was cut off when the job was killed.
    """
    for record in records(stream):
        payload = []
        clocks = 0
        for number, kind, raw, _ in fields(record):
            if number == 1 and kind == _FIXED64:
                clocks += 1
            else:
                payload.append((number, raw))
        if clocks > 1:
            raise EventFileError("a record has two clocks")
        step, scalars = _step_and_scalars(record)
        yield EventRecord(step, tuple(payload), tuple(scalars))


def read_scalars(stream: BinaryIO) -> Iterator[TimedPoint]:
    """Tag, step, value and time of every scalar, as `read_events` finds them; nothing else is held."""
    for record in records(stream):
        plain = _plain_scalar(record)
        if plain is None:
            step, scalars = _step_and_scalars(record)
            at = _clock(record) if scalars else None
            for scalar in scalars:
                yield TimedPoint(scalar.tag, step, scalar.value, at)
        elif _is_shown(plain[0]):
            yield plain


def records(stream: BinaryIO) -> Iterator[bytes]:
    left = MAX_SIZE
    while head := stream.read(12):
        if len(head) < 12:
            raise EventFileError("its last record is cut off")
        (length,) = struct.unpack_from("<Q", head)
        if _masked(head[:8]) != head[8:]:
            raise EventFileError("the checksum of a record's length is wrong")
        left -= length + 16
        if length > MAX_RECORD or left < 0:
            raise EventFileError(f"it is larger than the {MAX_SIZE >> 20} MiB that are read")
        data, check = stream.read(length), stream.read(4)
        if len(data) < length or len(check) < 4:
            raise EventFileError("its last record is cut off")
        if _masked(data) != check:
            raise EventFileError("the checksum of a record is wrong")
        yield data


def _clock(data: bytes) -> float | None:
    """The wall time of a record that has one."""
    for number, kind, start, _, _ in spans(data, 0, len(data)):
        if number == 1 and kind == _FIXED64:
            return moment(struct.unpack_from("<d", data, start)[0])
    return None


def _plain_scalar(data: bytes) -> TimedPoint | None:
    """The scalar of a record in its usual form: clock, step, summary(value(tag, float)), lengths of a byte.

    None for any other record. This saves nine tenths of the time of a long file.
    """
    try:
        if data[0] != 0x09:
            return None
        step, place = _varint(data, 10) if data[9] == 0x10 else (0, 9)
        summary, value, tag = data[place + 1], data[place + 3], data[place + 5]
        end = place + 6 + tag
        if (data[place], data[place + 2], data[place + 4], data[end]) != (0x2A, 0x0A, 0x0A, 0x15):
            return None
    except (IndexError, EventFileError):
        return None
    if max(summary, value, tag) > 0x7F or (summary, value, len(data)) != (tag + 9, tag + 7, end + 5):
        return None
    (found,) = struct.unpack_from("<f", data, end + 1)
    (at,) = struct.unpack_from("<d", data, 1)
    return TimedPoint(data[place + 6 : end].decode("utf-8", "replace"), _signed(step), found, moment(at))


def _step_and_scalars(data: bytes) -> tuple[int, list[Scalar]]:
    step = 0
    scalars: list[Scalar] = []
    for number, kind, start, end, value in spans(data, 0, len(data)):
        if number == 2 and kind == _VARINT:
            step = _signed(value)
        elif number == 5 and kind == _BYTES:
            for scalar in _scalars(data, start, end):
                if len(scalars) >= MAX_SCALARS:
                    raise EventFileError(f"a record of more than {MAX_SCALARS:,} scalars")
                scalars.append(scalar)
    return step, scalars


def _scalars(data: bytes, begin: int, stop: int) -> Iterator[Scalar]:
    for number, kind, start, end, _ in spans(data, begin, stop):
        if number != 1 or kind != _BYTES:
            continue
        tag, found = b"", None
        for inner, form, first, last, _value in spans(data, start, end):
            if inner == 1 and form == _BYTES:
                tag = data[first : min(last, first + 4 * MAX_TAG + 1)]
            elif inner == 2 and form == _FIXED32:
                (found,) = struct.unpack_from("<f", data, first)
            elif inner == 8 and form == _BYTES:
                found = _one_number(data, first, last)
        text = tag.decode("utf-8", "replace")
        if found is not None and _is_shown(text):
            yield Scalar(text, found)


def _is_shown(tag: str) -> bool:
    return 0 < len(tag) <= MAX_TAG and is_plain(tag)


def one_number(data: bytes) -> float | None:
    """The one number of a tensor of floats; None for any other tensor."""
    return _one_number(data, 0, len(data))


def _one_number(data: bytes, begin: int, stop: int) -> float | None:
    kind, content = 0, b""
    for number, form, start, end, value in spans(data, begin, stop):
        if number == 1 and form == _VARINT:
            kind = value
        elif number in (4, 5, 6) and form == _BYTES:
            content = data[start : min(end, start + 9)]  # tensor_content, or packed float_val, double_val
        elif (number, form) in ((5, _FIXED32), (6, _FIXED64)):
            content = (content + data[start:end])[:17]
    if kind == _FLOAT and len(content) == 4:
        return float(struct.unpack("<f", content)[0])
    if kind == _DOUBLE and len(content) == 8:
        return float(struct.unpack("<d", content)[0])
    return None


def fields(data: bytes) -> Iterator[tuple[int, int, bytes, int]]:
    """(number, wire type, raw bytes with their length, value of a varint) of each field of a message."""
    before = 0
    for number, kind, _, end, value in spans(data, 0, len(data)):
        _, start = _varint(data, before)
        yield number, kind, bytes((kind,)) + data[start:end], value
        before = end


def spans(data: bytes, begin: int, stop: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(number, wire type, first byte and end of the content, value of a varint) of each field."""
    place, count = begin, 0
    while place < stop:
        count += 1
        if count > MAX_FIELDS:
            raise EventFileError(f"a message of more than {MAX_FIELDS:,} fields")
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        start, value = place, 0
        if kind == _VARINT:
            value, place = _varint(data, place)
        elif kind == _FIXED64:
            place += 8
        elif kind == _FIXED32:
            place += 4
        elif kind == _BYTES:
            length, start = _varint(data, place)
            place = start + length
        else:
            raise EventFileError(f"a field of wire type {kind}")
        if place > stop:
            raise EventFileError("a field goes past its message's end")
        yield number, kind, start, place, value


def raw_value(raw: bytes) -> bytes:
    """The bytes of a field as `fields` gives it: without wire type and length."""
    if raw[0] != _BYTES:
        return raw[1:]
    _, place = _varint(raw, 1)
    return raw[place:]


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise EventFileError("a number goes past its message's end")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), place
    raise EventFileError("a number of more than ten bytes")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _masked(data: bytes) -> bytes:
    """CRC-32C as TFRecord stores it: rotated and with a constant added, unlike a plain CRC."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
