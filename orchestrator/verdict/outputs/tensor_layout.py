"""Finds the tensors in an `.npy` or `.safetensors` file, without pickle and without numpy.

The files come from jobs and are not trusted: a size is checked against the file before it is used, and a
file that is not plainly well-formed raises Unreadable.
"""

from __future__ import annotations

import math
import os
import re
import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from orchestrator.run.collect.job_files import refuse_large
from orchestrator.untrusted_json import strict_json

NPY_HEADER_LIMIT = 1 << 16  # bytes; numpy itself stops at 10,000 characters
SAFETENSORS_HEADER_LIMIT = 8 << 20  # bytes, some 80,000 tensors; the format's own library stops at 100 MB
MAX_DIMENSIONS = 64  # numpy's own limit

Numbers = Sequence[float]  # or of integers


class Unreadable(ValueError):
    """The file is not what its name says, or holds what cannot be compared element by element."""


@dataclass(frozen=True)
class Dtype:
    name: str  # in the file's own words
    size: int  # bytes of an element
    decode: Callable[[bytes], Numbers]  # two numbers per element where `complex`
    complex: bool = False


@dataclass(frozen=True)
class Tensor:
    name: str  # "" in an .npy file
    dtype: Dtype
    shape: tuple[int, ...]
    offset: int  # bytes from the start of the file
    fortran: bool = False

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.elements * self.dtype.size

    def index(self, position: int) -> tuple[int, ...]:
        """The index of the element at a position in the file."""
        found = []
        for length in self.shape if self.fortran else reversed(self.shape):
            position, at = divmod(position, length)
            found.append(at)
        return tuple(found if self.fortran else reversed(found))


@dataclass(frozen=True)
class TensorLayout:
    tensors: dict[str, Tensor]  # in the order in which they lie in the file
    metadata: dict[str, str]


def _array(code: str, swap: bool) -> Callable[[bytes], Numbers]:
    def decode(data: bytes) -> Numbers:
        numbers: array[float] = array(code)
        numbers.frombytes(data)
        if swap:
            numbers.byteswap()
        return numbers

    return decode


def _half(order: str) -> Callable[[bytes], Numbers]:
    return lambda data: struct.unpack(f"{order}{len(data) // 2}e", data)


def _bfloat(data: bytes) -> Numbers:
    """The upper half of a float32, little-endian."""
    wide = bytearray(2 * len(data))
    wide[2::4], wide[3::4] = data[0::2], data[1::2]
    return _array("f", sys.byteorder == "big")(bytes(wide))


# (kind and size in numpy's words) -> code of the array module; all of these sizes are the same everywhere.
_CODES = {
    "b1": "B",
    "i1": "b",
    "i2": "h",
    "i4": "i",
    "i8": "q",
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
    "f4": "f",
    "f8": "d",
    "c8": "f",
    "c16": "d",
}


def _dtype(name: str, kind: str, order: str) -> Dtype:
    size = int(kind[1:])
    if kind == "f2":
        return Dtype(name, size, _half(order))
    swap = size > 1 and (order == ">") != (sys.byteorder == "big")
    return Dtype(name, size, _array(_CODES[kind], swap), complex=kind[0] == "c")


# .npy

_TEXT = r"(?:'[^'\\\n]*'|\"[^\"\\\n]*\")"
_SHAPE = r"\([\d,\s]*\)"
_ENTRY = re.compile(rf"\s*({_TEXT})\s*:\s*({_TEXT}|True|False|{_SHAPE})\s*(,|(?=\}}))", re.ASCII)
_DESCR = re.compile(r"([<>|])([a-zA-Z])(\d{1,4})\Z", re.ASCII)


def read_npy(stream: BinaryIO) -> TensorLayout:
    """Versions 1, 2 and 3. Raises Unreadable; OSError where the stream fails."""
    total = _total(stream)
    start = _exactly(stream, 8)
    if start[:6] != b"\x93NUMPY" or start[6] not in (1, 2, 3):
        raise Unreadable("not an .npy file of version 1, 2 or 3")
    form = "<H" if start[6] == 1 else "<I"
    (length,) = struct.unpack(form, _exactly(stream, struct.calcsize(form)))
    if length > NPY_HEADER_LIMIT:
        raise Unreadable(f"a header of {length:,} bytes")
    header = _exactly(stream, length).decode("utf-8" if start[6] == 3 else "latin-1")
    descr, fortran, shape = _npy_header(header)
    tensor = Tensor("", _npy_dtype(descr), shape, stream.tell(), fortran)
    if tensor.offset + tensor.size != total:
        raise Unreadable(f"{total - tensor.offset:,} bytes where its header says {tensor.size:,}")
    return TensorLayout({"": tensor}, {})


def _npy_header(header: str) -> tuple[str, bool, tuple[int, ...]]:
    """The three entries of the dict literal that numpy writes, read by pattern and never evaluated."""
    found: dict[str, str] = {}
    text = header.strip()
    position = 1
    while entry := _ENTRY.match(text, position):
        key = entry[1][1:-1]
        if key in found:
            raise Unreadable(f"its header has {key!r} twice")
        found[key] = entry[2]
        position = entry.end()
    closed = text.startswith("{") and text[position:].strip() == "}"
    if not closed or found.keys() != {"descr", "fortran_order", "shape"}:
        if re.search(r"['\"]descr['\"]\s*:\s*\[", text):
            raise Unreadable("a structured dtype")
        raise Unreadable("its header is not that of an array")
    descr, order, shape = found["descr"], found["fortran_order"], found["shape"]
    if descr[0] not in "'\"" or order not in ("True", "False") or shape[0] != "(":
        raise Unreadable("its header is not that of an array")
    return descr[1:-1], order == "True", _npy_shape(shape[1:-1])


def _npy_shape(text: str) -> tuple[int, ...]:
    """`3, 4`, `3,` or nothing; `3` alone is not a tuple."""
    parts = [part.strip() for part in text.split(",")]
    if parts[-1] == "":
        parts.pop()
    elif len(parts) == 1:
        raise Unreadable("its shape is not a tuple")
    if not all(part.isdecimal() and len(part) <= 20 for part in parts):
        raise Unreadable("its shape is not a tuple of lengths")
    return _shape([int(part) for part in parts])


def _npy_dtype(descr: str) -> Dtype:
    parts = _DESCR.match(descr)
    if "O" in descr:
        raise Unreadable("objects: those are pickles, which are never loaded")
    kind = parts[2] + parts[3] if parts else ""
    if parts is None or kind not in (*_CODES, "f2") or (parts[1] == "|") != (kind[1:] == "1"):
        raise Unreadable(f"dtype {descr[:20]!r}")
    return _dtype(descr, kind, parts[1])


# .safetensors

_SAFETENSORS = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U64": "u8",
    "U32": "u4",
    "U16": "u2",
    "U8": "u1",
    "BOOL": "b1",
    "C64": "c8",
}


def read_safetensors(stream: BinaryIO) -> TensorLayout:
    """Raises Unreadable; OSError where the stream fails."""
    total = _total(stream)
    (length,) = struct.unpack("<Q", _exactly(stream, 8))
    if length > min(SAFETENSORS_HEADER_LIMIT, total - 8):
        raise Unreadable(f"a header of {length:,} bytes")
    data = _exactly(stream, length)
    refuse_large(data)
    try:
        header = strict_json(data.decode("utf-8"))
    except ValueError as error:
        raise Unreadable(f"its header: {error}") from None
    if not isinstance(header, dict):
        raise Unreadable("its header is not an object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise Unreadable("its metadata is not text")
    tensors = sorted(
        (_safetensor(name, entry, 8 + length) for name, entry in header.items()),
        key=lambda tensor: (tensor.offset, tensor.size, tensor.name),
    )
    end = 8 + length
    for tensor in tensors:
        if tensor.offset != end:
            raise Unreadable(f"a hole or an overlap before tensor {tensor.name[:100]!r}")
        end += tensor.size
    if end != total:
        raise Unreadable(f"{total:,} bytes where its header says {end:,}")
    return TensorLayout({tensor.name: tensor for tensor in tensors}, metadata)


def _safetensor(name: str, entry: Any, base: int) -> Tensor:
    where = f"tensor {name[:100]!r}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise Unreadable(f"{where} has no plain entry in the header")
    if not name.isascii():
        name.encode()  # half a surrogate pair raises here
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(shape, list) or not isinstance(offsets, list) or not isinstance(dtype, str):
        raise Unreadable(f"{where} has no plain entry in the header")
    if dtype != "BF16" and dtype not in _SAFETENSORS:
        raise Unreadable(f"{where} has dtype {dtype[:20]!r}")
    kind = Dtype("BF16", 2, _bfloat) if dtype == "BF16" else _dtype(dtype, _SAFETENSORS[dtype], "<")
    start, end = _naturals(offsets) if len(offsets) == 2 else (0, -1)
    tensor = Tensor(name, kind, _shape(_naturals(shape)), base + start)
    if end - start != tensor.size:
        raise Unreadable(f"{where} has {end - start:,} bytes where its shape says {tensor.size:,}")
    return tensor


def _naturals(values: list[Any]) -> list[int]:
    if not all(type(value) is int and 0 <= value < 1 << 63 for value in values):
        raise Unreadable("a shape or an offset that is not a natural number below 2^63")
    return values


# both


def _shape(lengths: list[int]) -> tuple[int, ...]:
    if len(lengths) > MAX_DIMENSIONS:
        raise Unreadable(f"{len(lengths):,} dimensions")
    return tuple(lengths)


def _total(stream: BinaryIO) -> int:
    total = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return total


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise Unreadable("it ends within its header")
    return data
