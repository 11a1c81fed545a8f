"""Compares two tensor files element by element within a tolerance, with the standard library only.

No file of a job makes these functions raise or allocate more than a few blocks: a file that cannot be
compared gets an answer that says so. Speed on one busy core of the development box, in differing elements per
second: 2 to 4 million (equal blocks cost a memcmp; blocks with infinities or NaN 0.2 million).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import sub
from typing import BinaryIO

from orchestrator.errors import RepriseError
from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.value import Value
from orchestrator.verdict.outputs.tensor_layout import (
    Numbers,
    Tensor,
    TensorLayout,
    Unreadable,
    read_npy,
    read_safetensors,
)
from orchestrator.verdict.tolerance import within

BLOCK = 1 << 14  # elements compared at a time

_READERS: dict[str, Callable[[BinaryIO], TensorLayout]] = {".npy": read_npy, ".safetensors": read_safetensors}
SUFFIXES = tuple(_READERS)


class Worst(Value):
    """The worst element: furthest beyond its tolerance, or furthest apart where all are within."""

    tensor: str  # "" in an .npy file
    index: tuple[int, ...]
    original: str  # the number as Python writes it: a float, an integer or a complex
    rerun: str


class TensorComparison(Value):
    """`problem`: why no elements were compared; `within` is False then."""

    within: bool
    problem: str = ""
    elements: int = 0
    max_abs: float = 0.0  # largest |a - b|; infinite where one of them is not finite and the other differs
    max_rel: float = 0.0  # largest |a - b| / |a|; infinite where only a is 0
    worst: Worst | None = None  # None: every element has the same value

    def describe(self) -> str:
        if self.problem or self.worst is None:
            return self.problem or f"all {self.elements:,} elements have the same values"
        place = f"[{', '.join(map(str, self.worst.index))}]"
        where = f"{self.worst.tensor}{place}" if self.worst.tensor else place
        return (
            f"largest difference {self.max_abs:.3g} absolute, {self.max_rel:.3g} relative; "
            f"worst at {where}: {self.worst.original} vs {self.worst.rerun}"
        )


def compare_tensors(path: str, original: BinaryIO, rerun: BinaryIO, tolerance: Tolerance) -> TensorComparison:
    """Both streams must be seekable. The suffix of `path` gives the format. Never raises for bad bytes."""
    suffix = next((suffix for suffix in SUFFIXES if path.endswith(suffix)), None)
    if suffix is None:
        return _problem(f"cannot compare: only {' and '.join(SUFFIXES)} files are compared by element")
    layouts = []
    for name, stream in (("original", original), ("rerun", rerun)):
        try:
            layouts.append(_READERS[suffix](stream))
        except (ValueError, OverflowError, OSError, RepriseError) as error:
            return _problem(f"cannot compare: the {name} cannot be read as {suffix}: {error}")
    left, right = layouts
    unlike = _unlike(left, right)
    if unlike:
        return _problem(unlike)
    tally = _Tally(tolerance)
    try:
        for name, tensor in left.tensors.items():
            _compare_tensor(tensor, right.tensors[name], original, rerun, tally)
    except (ValueError, OverflowError, OSError, RepriseError, struct.error) as error:
        return _problem(f"cannot compare: {error}")
    return tally.result()


def _problem(text: str) -> TensorComparison:
    return TensorComparison(within=False, problem=text)


def _unlike(left: TensorLayout, right: TensorLayout) -> str:
    """A difference that no tolerance covers: of names, dtypes, shapes, order in memory or metadata."""
    names = sorted(left.tensors.keys() ^ right.tensors.keys())
    if names:
        return f"other tensors: {names[0][:100]!r} is only in one of them"
    for name, a in left.tensors.items():
        b = right.tensors[name]
        where = f" of {name[:100]!r}" if name else ""
        if a.dtype.name != b.dtype.name:
            return f"another dtype{where}: {a.dtype.name} vs {b.dtype.name}"
        if a.shape != b.shape:
            return f"another shape{where}: {list(a.shape)} vs {list(b.shape)}"
        if a.fortran != b.fortran:
            return "cannot compare: one is in C order, the other in Fortran order"
    keys = [
        key
        for key in sorted(left.metadata.keys() | right.metadata.keys())
        if left.metadata.get(key) != right.metadata.get(key)
    ]
    return f"other metadata: {keys[0][:100]!r} differs" if keys else ""


def _compare_tensor(a: Tensor, b: Tensor, original: BinaryIO, rerun: BinaryIO, tally: _Tally) -> None:
    tally.elements += a.elements
    blocks = zip(_blocks(a, original), _blocks(b, rerun), strict=True)
    for number, (left, right) in enumerate(blocks):
        if left == right:
            continue
        tally.add(a, number * BLOCK, a.dtype.decode(left), b.dtype.decode(right))


def _blocks(tensor: Tensor, stream: BinaryIO) -> Iterator[bytes]:
    stream.seek(tensor.offset)
    rest = tensor.size
    while rest:
        data = stream.read(min(rest, BLOCK * tensor.dtype.size))
        # The size of the file was checked, so a short read means that it was cut off meanwhile.
        if len(data) != min(rest, BLOCK * tensor.dtype.size):
            raise Unreadable("the file became shorter while it was read")
        rest -= len(data)
        yield data


@dataclass
class _Tally:
    """The result over the elements compared so far."""

    tolerance: Tolerance
    elements: int = 0
    outside: bool = False
    max_abs: float = 0.0
    max_rel: float = 0.0
    rank: tuple[bool, float] = (False, 0.0)  # of the worst: outside its tolerance or not, and by how much
    worst: Worst | None = None

    def add(self, tensor: Tensor, start: int, a: Numbers, b: Numbers) -> None:
        """Add one block: by map() over its lists, or one by one where numbers are not finite."""
        if tensor.dtype.complex:
            distances = list(map(math.hypot, map(sub, a[0::2], b[0::2]), map(sub, a[1::2], b[1::2])))
            sizes = list(map(math.hypot, a[0::2], a[1::2]))
        else:
            distances, sizes = list(map(abs, map(sub, a, b))), list(map(abs, a))
        rel, absolute = self.tolerance.rel, self.tolerance.abs
        limits = [absolute + rel * size for size in sizes]
        if not math.isfinite(sum(distances)) or not math.isfinite(sum(limits)):
            self._add_singly(tensor, start, a, b)
            return
        largest = max(distances)
        self.max_abs = max(self.max_abs, float(largest))
        self.max_rel = max(self.max_rel, _largest_ratio(distances, sizes))
        excess = list(map(sub, distances, limits))
        beyond = max(excess)
        if beyond > 0:
            self._note(tensor, start, excess.index(beyond), (True, float(beyond)), a, b)
        elif largest:
            self._note(tensor, start, distances.index(largest), (False, float(largest)), a, b)

    def _add_singly(self, tensor: Tensor, start: int, a: Numbers, b: Numbers) -> None:
        parts = 2 if tensor.dtype.complex else 1
        for index in range(len(a) // parts):
            place = slice(index * parts, (index + 1) * parts)
            x, y = a[place], b[place]
            if all(p == q or (math.isnan(p) and math.isnan(q)) for p, q in zip(x, y, strict=True)):
                continue
            finite = all(map(math.isfinite, (*x, *y)))
            distance = math.hypot(*map(sub, x, y)) if finite else math.inf
            size = math.hypot(*x)
            limit = self.tolerance.abs + (self.tolerance.rel * size if size else 0.0)
            near = finite and (within(x[0], y[0], self.tolerance) if parts == 1 else distance <= limit)
            self.max_abs = max(self.max_abs, distance)
            self.max_rel = max(self.max_rel, distance / size if size and finite else math.inf)
            excess = distance - limit if finite and not near and math.isfinite(limit) else distance
            self._note(tensor, start, index, (not near, excess), a, b)

    def _note(
        self, tensor: Tensor, start: int, index: int, rank: tuple[bool, float], a: Numbers, b: Numbers
    ) -> None:
        self.outside = self.outside or rank[0]
        if self.worst is not None and rank <= self.rank:
            return
        self.rank = rank
        self.worst = Worst(
            tensor=tensor.name,
            index=tensor.index(start + index),
            original=_text(tensor, a, index),
            rerun=_text(tensor, b, index),
        )

    def result(self) -> TensorComparison:
        return TensorComparison(
            within=not self.outside,
            elements=self.elements,
            max_abs=self.max_abs,
            max_rel=self.max_rel,
            worst=self.worst,
        )


def _largest_ratio(distances: list[float], sizes: list[float]) -> float:
    return max(
        distance / size if size else math.inf if distance else 0.0
        for distance, size in zip(distances, sizes, strict=True)
    )


def _text(tensor: Tensor, numbers: Numbers, index: int) -> str:
    if tensor.dtype.complex:
        return repr(complex(numbers[2 * index], numbers[2 * index + 1]))
    return repr(numbers[index])
