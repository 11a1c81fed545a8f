"""Compares two sources file by file, in the form of a patch."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from enum import StrEnum

from orchestrator.image.assembly.read_source_layer import SourceText
from orchestrator.spec.shown_names import fits_a_line
from orchestrator.value import Value

MAX_LINES = 20_000  # of all patches together; of files after that only the names are given


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
    left = MAX_LINES
    for path in sorted(a.keys() | b.keys()):
        one, two = a.get(path), b.get(path)
        if one is not None and two is not None and _same(one, two):
            continue
        change = Change.ADDED if one is None else Change.REMOVED if two is None else Change.CHANGED
        lines, why = _patch(shown_path(path), one, two)
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


def _patch(path: str, one: SourceText | None, two: SourceText | None) -> tuple[list[str], str]:
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
    lines += map(_ended, difflib.unified_diff(before, after, *names))
    return lines or [f"--- {names[0]}\n", f"+++ {names[1]}\n"], ""


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
