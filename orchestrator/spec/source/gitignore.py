"""Patterns with the full meaning of a `.gitignore`: the answer for a path is the one that git gives.

Follows git's `dir.c` and `wildmatch.c`, which do more than the manual says; a property test compares the
two. Patterns and paths are bytes, as in git: `?` is one byte. Folders above a path are asked first, so
nothing in an ignored folder can be brought back.
"""

from __future__ import annotations

import codecs
import os
import re
import string
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from orchestrator.errors import UsageError

MAX_FILE = 1 << 20  # bytes of a file of patterns
_MAX_PATTERN = 4096  # bytes; no path is longer
MAX_PATTERNS = 10_000  # of all files together: each is tried on each path
_CLASSES: dict[bytes, str] = {
    b"alnum": string.ascii_letters + string.digits,
    b"alpha": string.ascii_letters,
    b"blank": " \t",
    b"cntrl": "".join(map(chr, range(32))) + "\x7f",
    b"digit": string.digits,
    b"graph": string.ascii_letters + string.digits + string.punctuation,
    b"lower": string.ascii_lowercase,
    b"print": string.ascii_letters + string.digits + string.punctuation + " ",
    b"punct": string.punctuation,
    b"space": " \t\n\r\x0b\x0c",
    b"upper": string.ascii_uppercase,
    b"xdigit": string.hexdigits,
}


class _Pattern(NamedTuple):
    fits: Callable[[bytes], object]
    by_name: bool  # asked of the last part of a path only
    folders_only: bool
    kept: bool  # begins with `!`


class Ignore:
    """The patterns of a folder and of the folders below it."""

    def __init__(self) -> None:
        self._patterns: dict[str, list[_Pattern]] = {}
        self._known: dict[str, bool] = {"": False}  # folders
        self._count = 0

    def add(self, folder: str, data: bytes, name: str) -> None:
        """Add the patterns of a file in `folder`, before anything below it is asked for.

        UsageError, which names the file by `name`, for more than any honest file has.
        """
        if len(data) > MAX_FILE:
            raise UsageError(f"{name} is larger than {MAX_FILE >> 20} MiB")
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UsageError(
                f"{name}: this is not UTF-8 text", "save it as UTF-8; no pattern in it would fit"
            )
        found = []
        for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
            line = _trimmed(line.removesuffix(b"\r"))
            if not line or line.startswith(b"#"):
                continue
            self._count += 1
            if len(line) > _MAX_PATTERN or self._count > MAX_PATTERNS:
                raise UsageError(
                    f"{name}:{number}: more than {MAX_PATTERNS:,} patterns, or one of more than "
                    f"{_MAX_PATTERN} bytes",
                    "say it in fewer and shorter ones",
                )
            found.append(_read(line))
        self._patterns[folder] = found[::-1]

    def ignores(self, path: str, *, folder: bool = False) -> bool:
        """Whether a path is ignored, by itself or with a folder above it."""
        if not self._patterns:
            return False
        if folder:
            return self._ignores_folder(path)
        return self._ignores_folder(path.rpartition("/")[0]) or self._says(path, folder=False)

    def _ignores_folder(self, path: str) -> bool:
        if path not in self._known:
            above = self._ignores_folder(path.rpartition("/")[0])
            self._known[path] = above or self._says(path, folder=True)
        return self._known[path]

    def _says(self, path: str, *, folder: bool) -> bool:
        """The answer of the last pattern that fits, in the nearest file that has one."""
        base, _, last = path.rpartition("/")
        name = os.fsencode(last)
        while True:
            patterns = self._patterns.get(base, ())
            rest = os.fsencode(path[len(base) + 1 :] if base else path) if patterns else b""
            for pattern in patterns:
                if (folder or not pattern.folders_only) and pattern.fits(name if pattern.by_name else rest):
                    return not pattern.kept
            if not base:
                return False
            base = base.rpartition("/")[0]


def _trimmed(line: bytes) -> bytes:
    """A line without blanks at its end, except those after a backslash."""
    end = at = 0
    while at < len(line):
        step = 2 if line[at : at + 1] == b"\\" else 1
        if step == 2 and at + 1 == len(line):
            return line
        if line[at : at + 1] != b" ":
            end = at + step
        at += step
    return line[:end]


def _read(line: bytes) -> _Pattern:
    kept = line.startswith(b"!")
    text = line[1:] if kept else line
    folders_only = text.endswith(b"/")
    text = text[:-1] if folders_only else text
    by_name = b"/" not in text
    return _Pattern(_fitting(text, by_name), by_name, folders_only, kept)


def _fitting(text: bytes, by_name: bool) -> Callable[[bytes], object]:
    """The test of a pattern, for a name or for a path below the pattern's folder."""
    if by_name:
        try:
            return re.compile(_translate(text, 0, paths=False), re.DOTALL).fullmatch
        except _NeverError:
            return lambda _: False
    text = text.removeprefix(b"/")
    plain = re.match(rb"[^*?\[\\]*", text)
    start = plain[0] if plain is not None else b""
    try:
        # As in git 2.47, the plain start is compared, and a `**` right after it counts as the beginning.
        return re.compile(re.escape(start) + _translate(text, len(start), paths=True), re.DOTALL).fullmatch
    except _NeverError:
        return lambda _: False


class _NeverError(Exception):
    """A pattern that is cut off fits nothing."""


def _translate(text: bytes, at: int, *, paths: bool) -> bytes:
    """The regular expression for a pattern from an index on.

    A star is tried only at the first place where the text after it fits: that is enough, and takes time
    linear in the length. The same holds for a `**` before another one.
    """
    beginning = at
    any_letter = b"[^/]" if paths else b"."
    parts: list[bytes] = []
    star: int | None = None  # where the part after the last star begins
    deep: int | None = None  # and after the last `**/`
    while at < len(text):
        letter = text[at : at + 1]
        if letter == b"*":
            end = at
            while text[end : end + 1] == b"*":
                end += 1
            before = at == beginning or text[at - 1 : at] == b"/"
            after = end == len(text) or text[end : end + 1] == b"/" or text[end : end + 2] == b"\\/"
            _close(parts, star, any_letter)
            if paths and end - at > 1 and before and after:
                star = None
                if deep is not None:
                    parts[deep:] = [rb"(?>(?:.*?/)??" + b"".join(parts[deep:]) + b")"]
                deep = None
                if text[end : end + 1] == b"/":
                    deep = len(parts)
                    end += 1
                else:
                    parts.append(b".*")
            else:
                star = len(parts)
            at = end
            continue
        if letter == b"/":
            _open(parts, star, any_letter)
            star = None
        piece, at = _one(text, at, paths)
        parts.append(piece)
    _open(parts, star, any_letter)
    if deep is not None:
        parts.insert(deep, rb"(?:.*/)?")
    return b"".join(parts)


def _close(parts: list[bytes], star: int | None, any_letter: bytes) -> None:
    """The part between two stars of a name: it keeps the first place where it fits."""
    if star is not None:
        parts[star:] = [b"(?>" + any_letter + b"*?" + b"".join(parts[star:]) + b")"]


def _open(parts: list[bytes], star: int | None, any_letter: bytes) -> None:
    """The part after the last star of a name: it must end the name."""
    if star is not None:
        parts[star:] = [any_letter + b"*" + b"".join(parts[star:])]


def _one(text: bytes, at: int, paths: bool) -> tuple[bytes, int]:
    """The expression of one letter, `?` or `[...]`, and where it ends."""
    letter = text[at : at + 1]
    if letter == b"?":
        return (b"[^/]" if paths else b"."), at + 1
    if letter == b"\\":
        if at + 1 == len(text):
            raise _NeverError
        return re.escape(text[at + 1 : at + 2]), at + 2
    if letter == b"[":
        return _bracket(text, at + 1, paths)
    return re.escape(letter), at + 1


def _bracket(text: bytes, at: int, paths: bool) -> tuple[bytes, int]:
    """The expression of `[...]`, read from after its bracket, and where it ends."""
    negated = text[at : at + 1] in (b"!", b"^")
    at += negated
    found: set[int] = set()
    before = 0  # the letter that a range would begin with
    first = True
    while first or text[at : at + 1] != b"]":
        first = False
        letter = text[at : at + 1]
        if letter == b"":
            raise _NeverError
        if letter == b"-" and before and text[at + 1 : at + 2] not in (b"", b"]"):
            at += 1 + (text[at + 1 : at + 2] == b"\\")
            found.update(range(before, _byte(text, at) + 1))
            before = 0
        elif letter == b"[" and text[at + 1 : at + 2] == b":":
            end = text.find(b"]", at + 2)
            if end < 0:
                raise _NeverError
            if end > at + 2 and text[end - 1 : end] == b":":
                found.update(_class(text[at + 2 : end - 1]))
                at, before = end, 0
            else:
                found.add(ord("["))
                before = ord("[")
        else:
            at += letter == b"\\"
            before = _byte(text, at)
            found.add(before)
        at += 1
    letters = set(range(256)) - found if negated else found
    if paths:
        letters.discard(ord("/"))
    return _letters(frozenset(letters)), at + 1


def _byte(text: bytes, at: int) -> int:
    if at >= len(text):
        raise _NeverError
    return text[at]


def _class(name: bytes) -> bytes:
    if name not in _CLASSES:
        raise _NeverError
    return _CLASSES[name].encode()


@cache
def _letters(letters: frozenset[int]) -> bytes:
    if not letters:
        raise _NeverError
    return b"[" + b"".join(b"\\x%02x" % letter for letter in sorted(letters)) + b"]"
