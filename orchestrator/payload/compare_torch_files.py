"""Compares pairs of files of tensors: `python -I compare_torch_files.py FOLDER SECONDS ABS:REL...`.

The orchestrator never unpickles: it runs this in a throw-away container of the run's own image. Pair N lies
at /inputs/pairs/N/original and /inputs/pairs/N/rerun, and FOLDER/contents-N.json gets its result. Each pair
has a process of its own, so that a file which kills its reader does not stop the other pairs.

Torch's restricted unpickler (`weights_only`) reads the files, with a few plain classes added to those that it
allows. A file's claims are not trusted: tensors are read in pieces, and the walk through it is bounded.
"""

# ruff: noqa: BLE001

from __future__ import annotations

import json
import math
import os
import signal
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

PAIRS = "/inputs/pairs"
PIECE = 1 << 20  # elements compared at a time: 8 MiB in float64
MAX_NODES = 500_000  # entries walked; memo references make a file of 1 kB hold 2^40 of them
MAX_DEPTH = 100
MAX_CLAIMED = 1 << 28  # elements of a tensor whose bytes are fewer than its shape says
MAX_LEAVES = 20  # leaves named
TEXT = 80  # characters of a value
INT_ERROR = 2048.0  # upper bound of what float64 loses of the difference of two int64
SCALARS = (str, bytes, bool, int, float, complex, type(None))


def main(argv: list[str]) -> int:
    folder, seconds, bounds = argv[0], int(argv[1]), argv[2:]
    try:
        torch = load_torch()
    except Exception as error:
        for number in range(len(bounds)):
            write(folder, number, {"error": f"torch cannot be imported here: {error_line(error)}"})
        return 0
    for number, bound in enumerate(bounds):
        child = os.fork()
        if child == 0:
            signal.alarm(seconds)
            write(folder, number, compared(torch, number, bound))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            write(folder, number, {"error": why_it_died(status, seconds)})
    return 0


def load_torch() -> Any:
    import torch

    torch.set_num_threads(1)  # a forked child has none of its parent's threads
    if hasattr(torch.serialization, "add_safe_globals"):
        torch.serialization.add_safe_globals(harmless())
    return torch


def harmless() -> list[Any]:
    """Plain data that real checkpoints hold: dates, arguments, paths, numpy's scalars and arrays."""
    import argparse
    import datetime
    import pathlib

    found: list[Any] = [datetime.datetime, datetime.date, datetime.time]
    found += [datetime.timedelta, datetime.timezone]
    found += [argparse.Namespace, pathlib.PosixPath, pathlib.PurePosixPath]
    return found + harmless_of_numpy()


def harmless_of_numpy() -> list[Any]:
    """Empty for a numpy that lacks some of these: it does not write them."""
    try:
        import numpy

        core = getattr(numpy, "_core", None) or numpy.core
        own = [numpy.ndarray, numpy.dtype, core.multiarray.scalar, core.multiarray._reconstruct]
        return own + [type(numpy.dtype(code)) for code in "?bBhHiIlLqQefdFD"]
    except (ImportError, AttributeError, TypeError):
        return []


def why_it_died(status: int, seconds: int) -> str:
    number = status & 0x7F
    if number == signal.SIGALRM:
        return f"reading and comparing it took longer than {seconds} s"
    if number == signal.SIGKILL:
        return "its reader was killed, most likely for memory"
    return f"its reader died: {f'signal {number}' if number else f'exit code {status >> 8}'}"


def compared(torch: Any, number: int, bound: str) -> dict[str, Any]:
    try:
        absolute, _, relative = bound.partition(":")
        pair = TensorPair(torch, float(absolute), float(relative))
        loaded = []
        for name in ("original", "rerun"):
            try:
                loaded.append(load(torch, f"{PAIRS}/{number}/{name}"))
            except Exception as error:
                return {"error": f"the {name} cannot be read: {error_line(error)}"}
        pair.walk(loaded[0], loaded[1], "", 0)
        return pair.report()
    except RefusedError as error:
        return {"error": str(error)}
    except (Exception, RecursionError) as error:
        return {"error": f"cannot be compared: {error_line(error)}"}


def load(torch: Any, path: str) -> Any:
    """Map the file into memory where its format allows it: then only the parts in use are read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)


def error_line(error: BaseException) -> str:
    """The line of an error that says what is wrong, without torch's long advice before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "GLOBAL" in line or "rror:" in line]
    return f"{type(error).__name__}: {(telling or lines or ['without a word'])[0][:200]}"


class RefusedError(Exception):
    """A file that holds more than the bounds above."""


class TensorPair:
    """What two loaded files have in common. Tensors are named by the keys that lead to them."""

    def __init__(self, torch: Any, absolute: float, relative: float) -> None:
        self.torch = torch
        self.absolute = absolute
        self.relative = relative
        self.nodes = 0
        self.tensors = 0
        self.differing = 0
        self.differing_elements = 0
        self.first: str | None = None
        self.max_abs = 0.0
        self.max_rel = 0.0
        self.outside = 0
        self.problem = ""
        self.leaves: list[str] = []
        self.leaf_count = 0

    def report(self) -> dict[str, Any]:
        return {
            "tensors": self.tensors,
            "differing": self.differing,
            "first": self.first,
            "max_abs": self.max_abs,
            "max_rel": self.max_rel,
            "outside": self.outside,
            "problem": self.problem,
            "leaves": self.leaves,
            "leaf_count": self.leaf_count,
        }

    def walk(self, a: Any, b: Any, path: str, depth: int) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            deep = depth > MAX_DEPTH
            raise RefusedError(
                f"it holds more than {f'{MAX_DEPTH} levels of' if deep else MAX_NODES} entries"
            )
        tensor = self.torch.Tensor
        if isinstance(a, tensor) and isinstance(b, tensor):
            self.tensor(a, b, path)
        elif isinstance(a, tensor) or isinstance(b, tensor):
            self.other_kind(path, f"a tensor only in the {'original' if isinstance(a, tensor) else 'rerun'}")
        elif isinstance(a, dict) and isinstance(b, dict):
            self.dicts(a, b, path, depth)
        elif isinstance(a, (list, tuple)) and type(a) is type(b):
            self.sequences(a, b, path, depth)
        elif type(a).__name__ == "ndarray" and type(b).__name__ == "ndarray" and a.dtype.hasobject is False:
            self.arrays(a, b, path)
        elif type(a) is type(b) and hasattr(a, "__dict__") and not isinstance(a, (type, *SCALARS)):
            self.dicts(vars(a), vars(b), path, depth)
        elif not same(a, b):
            self.leaf(path, f"{text(a)} vs {text(b)}")

    def dicts(self, a: Any, b: Any, path: str, depth: int) -> None:
        for key, value in a.items():
            name = joined(path, key)
            if key in b:
                self.walk(value, b[key], name, depth + 1)
            else:
                self.only(value, name, "original")
        for key, value in b.items():
            if key not in a:
                self.only(value, joined(path, key), "rerun")

    def sequences(self, a: Any, b: Any, path: str, depth: int) -> None:
        for index, (x, y) in enumerate(zip(a, b)):  # noqa: B905 - Python 3.9
            self.walk(x, y, joined(path, index), depth + 1)
        shorter = min(len(a), len(b))
        for side, rest in (("original", a[shorter:]), ("rerun", b[shorter:])):
            for index, value in enumerate(rest, shorter):
                self.only(value, joined(path, index), side)

    def only(self, value: Any, path: str, side: str) -> None:
        """An entry of one file only. A plain value is a leaf; a value that may hold tensors is a problem."""
        self.nodes += 1
        if isinstance(value, SCALARS):
            self.leaf(path, f"only in the {side}")
        else:
            self.other_kind(path, f"only in the {side}")

    def leaf(self, path: str, what: str) -> None:
        self.leaf_count += 1
        if len(self.leaves) < MAX_LEAVES:
            self.leaves.append(f"{path or 'the whole'}: {what}"[:400])

    def other_kind(self, path: str, what: str) -> None:
        """A difference that no tolerance covers: of tensors, dtypes or shapes."""
        self.problem = self.problem or f"{path or 'the whole'}: {what}"[:400]

    def arrays(self, a: Any, b: Any, path: str) -> None:
        try:
            pair = [self.torch.from_numpy(item.copy()) for item in (a, b)]
        except TypeError:  # a dtype that torch does not have
            if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
                self.other_kind(path, f"arrays of {a.dtype} and {b.dtype} differ")
            return
        self.tensor(pair[0], pair[1], path)

    def tensor(self, a: Any, b: Any, path: str) -> None:
        self.tensors += 1
        left, right = self.describe(a), self.describe(b)
        if left != right:
            self.other_kind(path, f"{left} vs {right}")
            return
        before = self.differing_elements
        for x, y in self.parts(a, b):
            self.strided(x, y)
        if self.differing_elements != before:
            self.differing += 1
            self.first = self.first or path or "the whole"

    def describe(self, tensor: Any) -> str:
        layout = "" if tensor.layout is self.torch.strided else f" {tensor.layout}"
        return f"{str(tensor.dtype)[6:]}{list(tensor.shape)}{layout}"

    def parts(self, a: Any, b: Any) -> Iterator[tuple[Any, Any]]:
        """The plain tensors that two tensors consist of, in pairs."""
        torch = self.torch
        a, b = a.detach(), b.detach()
        if a.layout is torch.strided and not a.is_quantized:
            yield a, b
        elif a.layout is torch.sparse_coo:
            if a._indices().shape != b._indices().shape:
                raise RefusedError("sparse tensors with other numbers of elements")
            yield a._indices(), b._indices()
            yield a._values(), b._values()
        elif a.is_quantized and a.qscheme() is b.qscheme() is torch.per_tensor_affine:
            yield a.int_repr(), b.int_repr()
            scales = [[t.q_scale(), float(t.q_zero_point())] for t in (a, b)]
            yield tuple(torch.tensor(scales, dtype=torch.float64))
        else:
            raise RefusedError(f"a tensor of layout {a.layout} and dtype {a.dtype} is not compared")

    def strided(self, a: Any, b: Any) -> None:
        held = min(t.untyped_storage().nbytes() for t in (a, b))
        if a.numel() > MAX_CLAIMED and a.numel() * a.element_size() > held:
            raise RefusedError(f"a tensor claims {a.numel():,} elements in {held:,} bytes")
        for x, y in pieces(a, b):
            raw = bits(self.torch, x), bits(self.torch, y)
            if not self.torch.equal(*raw):
                self.distance(x, y, raw[0] != raw[1])

    def distance(self, a: Any, b: Any, unequal: Any) -> None:
        """Compare one flat piece whose bits differ: |a - b| <= abs + rel * |a|; NaN equals only NaN."""
        torch = self.torch
        unequal = unequal.view(a.numel(), -1).any(1)
        self.differing_elements += int(unequal.sum())
        exact = not (a.is_floating_point() or a.is_complex())
        wide = torch.complex128 if a.is_complex() else torch.float64
        a, b = a.to(wide)[unequal], b.to(wide)[unequal]
        same_value = (a == b) | (torch.isnan(a) & torch.isnan(b))
        if exact:
            same_value = torch.zeros_like(same_value)
        distances, sizes = (a - b).abs(), a.abs()
        if exact:
            distances = torch.where(distances == 0, torch.full_like(distances, INT_ERROR), distances)
        lost = ~same_value & ~(torch.isfinite(distances) & torch.isfinite(sizes))
        distances[lost] = math.inf
        distances[same_value] = 0.0
        near = same_value | (~lost & (distances <= self.absolute + self.relative * sizes))
        self.outside += int((~near).sum())
        self.max_abs = max(self.max_abs, float(distances.max()))
        ratios = torch.where(distances == 0, distances, distances / sizes)
        ratios[lost] = math.inf
        self.max_rel = max(self.max_rel, float(ratios.max()))


def pieces(a: Any, b: Any) -> Iterator[tuple[Any, Any]]:
    """Both tensors in flat pieces of at most PIECE elements: a shape may claim more than the memory holds."""
    count = a.numel()
    if count == 0:
        return
    if a.is_contiguous() and b.is_contiguous():
        yield from zip(a.reshape(-1).split(PIECE), b.reshape(-1).split(PIECE))  # noqa: B905
        return
    if count <= PIECE:
        yield a.contiguous().reshape(-1), b.contiguous().reshape(-1)
        return
    dim = max(range(a.dim()), key=lambda index: a.shape[index])
    for start in range(0, a.shape[dim], step := max(1, PIECE // (count // a.shape[dim]))):
        length = min(step, a.shape[dim] - start)
        yield from pieces(a.narrow(dim, start, length), b.narrow(dim, start, length))


def bits(torch: Any, flat: Any) -> Any:
    """The bits as integers, to compare: so -0.0 is not 0.0, and a NaN equals itself."""
    if flat.is_conj():
        flat = flat.resolve_conj()
    if flat.is_neg():
        flat = flat.resolve_neg()
    same_size = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return flat.contiguous().view(same_size.get(flat.element_size(), torch.int64))


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (a != a and b != b) or struct.pack("<d", a) == struct.pack("<d", b)
    return bool(a == b)


def joined(path: str, key: Any) -> str:
    word = key if isinstance(key, str) else text(key)
    return (f"{path}.{word}" if path else word)[-300:]


def text(value: Any) -> str:
    """A short text of a value of any class."""
    if isinstance(value, (str, bytes)):
        return repr(value[:TEXT]) + ("..." if len(value) > TEXT else "")
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value)[:TEXT]


def write(folder: str, number: int, report: dict[str, Any]) -> None:
    partial = f"{folder}/contents-{number}.tmp"
    with open(partial, "w", encoding="ascii") as stream:  # noqa: PTH123
        json.dump(report, stream)
    os.replace(partial, f"{folder}/contents-{number}.json")  # noqa: PTH105


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
