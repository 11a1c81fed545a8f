"""Compares two sources file by file, in the form of a patch.

Both are strangers', and finding what two files have in common takes a square of their lines or more: it is
given a number of steps, and a file that needs more is named without a patch.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import accumulate

from orchestrator.image.assembly.read_source_layer import SourceText
from orchestrator.spec.shown_names import fits_a_line
from orchestrator.value import Value

MAX_LINES = 20_000  # of all patches together; of files after that only the names are given
MAX_STEPS = 20_000_000  # for all patches together: pairs of equal lines that are looked at, a few seconds
_AROUND = 3  # equal lines around a change
_MANY = 200  # lines


class Change(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class FilePatch(Value):
    path: str
    change: Change
    patch: str  # unified, with its two headings; empty where nothing can be shown
    why: str  # why nothing is shown: binary, too long, not here; empty where the patch is complete


def code_difference(a: Mapping[str, SourceText], b: Mapping[str, SourceText]) -> tuple[FilePatch, ...]:
    """Files that are not the same, sorted by path. One source may be read from an image while only digests
    of the other are known.
    """
    found = []
    left, steps = MAX_LINES, _Steps(MAX_STEPS)
    for path in sorted(a.keys() | b.keys()):
        one, two = a.get(path), b.get(path)
        if one is not None and two is not None and _same(one, two):
            continue
        change = Change.ADDED if one is None else Change.REMOVED if two is None else Change.CHANGED
        lines, why = _patch(shown_path(path), one, two, steps)
        if len(lines) > left:
            lines, why = [], f"more than {MAX_LINES:,} lines of differences before it"
        left -= len(lines)
        found.append(FilePatch(path=path, change=change, patch="".join(lines), why=why))
    return tuple(found)


def shown_path(path: str) -> str:
    """The path in one line, with escapes for what does not fit a line."""
    return "".join(char if fits_a_line(char) else char.encode("unicode_escape").decode() for char in path)


def _same(one: SourceText, two: SourceText) -> bool:
    if one.digest != two.digest:
        return False
    digest_only = one.size is None or two.size is None
    return digest_only or (one.symlink, one.executable) == (two.symlink, two.executable)


class _TooManyStepsError(Exception):
    pass


class _Steps:
    """How many are left."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, steps: int) -> None:
        if steps > self._left:
            raise _TooManyStepsError
        self._left -= steps


class _Matcher(difflib.SequenceMatcher[str]):
    """Takes steps before it looks for the longest stretch that two parts have in common."""

    def __init__(self, a: Sequence[str], b: Sequence[str], steps: _Steps) -> None:
        super().__init__(None, a, b)
        self._steps, self._lines = steps, len(a)
        counts = Counter(b)
        if len(b) >= _MANY:  # then difflib leaves the most frequent out
            counts = Counter({line: there for line, there in counts.items() if there <= len(b) // 100 + 1})
        # Of the lines of `a` before each: lines of `b` that equal one of them, and the lines themselves.
        self._before = [0, *accumulate(1 + counts[line] for line in a)]

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> difflib.Match:
        self._steps.take(self._before[self._lines if ahi is None else ahi] - self._before[alo])
        return super().find_longest_match(alo, ahi, blo, bhi)


def _unified(before: Sequence[str], after: Sequence[str], names: tuple[str, str], steps: _Steps) -> list[str]:
    """As difflib's, within the steps."""
    lines = [f"--- {names[0]}\n", f"+++ {names[1]}\n"]
    for group in _Matcher(before, after, steps).get_grouped_opcodes(_AROUND):
        first, last = group[0], group[-1]
        lines.append(f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                lines += [f" {line}" for line in before[i1:i2]]
                continue
            lines += [f"-{line}" for line in before[i1:i2]] + [f"+{line}" for line in after[j1:j2]]
    return lines


def _range(start: int, stop: int) -> str:
    """Lines of one side, as a patch names them: counted from 1, and an empty range by the line before it."""
    length = stop - start
    return f"{start + 1}" if length == 1 else f"{start + bool(length)},{length}"


def _patch(path: str, one: SourceText | None, two: SourceText | None, steps: _Steps) -> tuple[list[str], str]:
    """Lines with their ends, or why no patch is shown."""
    sides = [side for side in (one, two) if side is not None]
    if any(side.size is None for side in sides):
        return [], "contents are not on this box"
    if any(side.data is None for side in sides):
        return [], f"too long: {' and '.join(f'{side.size:,} bytes' for side in sides)}"
    texts = [None if side is None else _text(side) for side in (one, two)]
    if any(text is None for text, side in zip(texts, (one, two), strict=True) if side is not None):
        return [], "binary"
    names = (
        "/dev/null" if one is None else f"a/{path}",
        "/dev/null" if two is None else f"b/{path}",
    )
    lines = list(_mode(one, two))
    before, after = (_lines(text or "") for text in texts)
    if before == after and lines:  # another mode
        return lines, ""
    try:
        return [*lines, *map(_ended, _unified(before, after, names, steps))], ""
    except _TooManyStepsError:
        return [], "its lines repeat each other too often to be compared one by one"


def _text(side: SourceText) -> str | None:
    data = side.data or b""
    if b"\0" in data:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return f"link to {text}\n" if side.symlink else text


def _mode(one: SourceText | None, two: SourceText | None) -> Iterator[str]:
    if one is not None and two is not None and one.executable != two.executable:
        for word, side in (("old", one), ("new", two)):
            yield f"{word} mode {'755' if side.executable else '644'}\n"


def _lines(text: str) -> list[str]:
    """Split at line feeds only: str.splitlines knows ten other line ends."""
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1].removesuffix("\n")
    return lines if lines[-1] else lines[:-1]


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
