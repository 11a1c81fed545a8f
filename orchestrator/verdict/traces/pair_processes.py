"""Pairs what the processes of two runs wrote, by rank.

Where a rank has several processes, those that wrote the same belong together, then those that went together
for longest: processes that begin at one time have no order, and two that trained other models from their
first line on are no pair. Among equals the order decides in which they began. The first line of each file,
its header, holds a pid and a clock and is not looked at.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from orchestrator.digest import Digest
from orchestrator.errors import RepriseError
from orchestrator.run.collect.trace_line import LONGEST_LINE
from orchestrator.verdict.outputs.compare_files import OpenBlob, first_difference

MOST = 64  # processes of a rank and run that are tried with each other; of more, the order decides
HEAD = 1 << 18  # bytes of a file that decide how long two went together; the first weights are among them


class Written(Protocol):
    """A file of lines that a process wrote, in the store."""

    @property
    def rank(self) -> int: ...
    @property
    def digest(self) -> Digest: ...


File = TypeVar("File", bound=Written)


def pairs_of(
    original: Sequence[File], rerun: Sequence[File], open_blob: OpenBlob, *, cut: bool = False
) -> Iterator[tuple[File, File]]:
    """Both in the order in which their processes began. `cut`: the rerun was stopped before its end."""
    for rank in sorted({file.rank for file in (*original, *rerun)}):
        left, right = ([file for file in files if file.rank == rank] for files in (original, rerun))
        several = len(left) > 1 or len(right) > 1
        for find in (_same_so_far if cut else _same_content, _longest_together) if several else ():
            found = find(left, right, open_blob)
            yield from found
            left = _without(left, (pair[0] for pair in found))
            right = _without(right, (pair[1] for pair in found))
        yield from zip(left, right, strict=False)


def _without(files: list[File], paired: Iterable[File]) -> list[File]:
    done = {id(file) for file in paired}
    return [file for file in files if id(file) not in done]


def _same_content(left: list[File], right: list[File], open_blob: OpenBlob) -> list[tuple[File, File]]:
    waiting: dict[str, list[File]] = {}
    for file in right:
        waiting.setdefault(_after_header(file, open_blob), []).append(file)
    pairs = []
    for file in left:
        others = waiting.get(_after_header(file, open_blob))
        if others:
            pairs.append((file, others.pop(0)))
    return pairs


def _same_so_far(left: list[File], right: list[File], open_blob: OpenBlob) -> list[tuple[File, File]]:
    """Files of a stopped rerun, each with one of the original that goes on as it does. Those that fit the
    fewest choose first.
    """
    fits = [([one for one in left if _goes_on(one, file, open_blob)], file) for file in right]
    pairs: list[tuple[File, File]] = []
    for files, file in sorted(fits, key=lambda item: len(item[0])):
        free = [one for one in files if all(one is not pair[0] for pair in pairs)]
        if free:
            pairs.append((free[0], file))
    return pairs


def _longest_together(left: list[File], right: list[File], open_blob: OpenBlob) -> list[tuple[File, File]]:
    if max(len(left), len(right)) > MOST or len(left) * len(right) < 2:
        return []
    heads, others = ([_head(file, open_blob) for file in files] for files in (left, right))
    tried = [(_equal_lines(a, b), -x, -y) for x, a in enumerate(heads) for y, b in enumerate(others)]
    pairs: dict[int, int] = {}
    for equal, x, y in sorted(tried, reverse=True):
        if equal and -x not in pairs and -y not in pairs.values():
            pairs[-x] = -y
    return [(left[x], right[y]) for x, y in sorted(pairs.items())]


def _head(file: Written, open_blob: OpenBlob) -> bytes:
    """What follows the header, as far as it is looked at; nothing where it cannot be read."""
    try:
        with open_blob(file.digest) as stream:
            stream.readline(LONGEST_LINE)
            return stream.read(HEAD)
    except (RepriseError, OSError):
        return b""


def _equal_lines(a: bytes, b: bytes) -> int:
    """How many bytes of whole lines are the same at both beginnings."""
    offset = first_difference(io.BytesIO(a), io.BytesIO(b))
    return a.rfind(b"\n", 0, offset) + 1


def _goes_on(original: Written, rerun: Written, open_blob: OpenBlob) -> bool:
    """Whether all whole lines of a stopped file after its header are the original's, too."""
    try:
        with open_blob(original.digest) as left, open_blob(rerun.digest) as right:
            for stream in (left, right):
                stream.readline(LONGEST_LINE)
            while (line := right.readline(LONGEST_LINE)).endswith(b"\n"):
                if left.readline(LONGEST_LINE) != line:
                    return False
            return True
    except (RepriseError, OSError):
        return False


def _after_header(file: Written, open_blob: OpenBlob) -> str:
    """A digest of the lines after the first. A file that cannot be read has a digest that equals no other."""
    try:
        with open_blob(file.digest) as stream:
            stream.readline(LONGEST_LINE)
            return Digest.of_stream(stream)
    except (RepriseError, OSError):
        return file.digest
