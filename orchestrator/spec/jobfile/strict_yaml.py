"""Reads YAML 1.2, core schema, strictly: values with their lines, and the problems of the file.

ruamel.yaml's scanner and parser give the events. What a plain scalar means is decided here, because ruamel's
resolver follows no schema exactly (`1e-3` is text by its 1.1 rules, `0755` an octal number).
Refused, each with its line: duplicate keys, anchors and aliases, tags, merge keys, several documents,
NaN and infinity, keys that are not text, NUL and lone surrogates, too much depth or size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.spec.jobfile.problems import KeyPath, Problem, SpecError, dotted, shorten

MAX_SIZE = 1 << 20  # bytes
MAX_DEPTH = 32
MAX_NODES = 20_000  # ruamel.yaml's scanner takes about 30 us for one

_NULL = re.compile(r"(?:~|null|Null|NULL)?\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_OTHER_BASE = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_OCTAL_LIKE = re.compile(r"[-+]?0[0-9]+\Z")
_BAD_LETTER = re.compile("[\0\ud800-\udfff]")


class _Bad:
    """Stands for a value that has been reported already."""

    def __repr__(self) -> str:
        return "BAD"


BAD: Final = _Bad()


@dataclass(frozen=True, slots=True)
class YamlNode:
    """A value and its line, from 1; for a value in a mapping, the line of its key.

    `value` is None, bool, int, float, str, `dict[str, YamlNode]`, `list[YamlNode]`, or BAD.
    """

    value: Any
    line: int


class ScalarError(ValueError):
    """A plain scalar that cannot be a value; message and hint as in a Problem."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def read_yaml(text: str, file: str) -> tuple[YamlNode | None, list[Problem]]:
    """The one document of a text (None: there is no document), and its problems.

    A syntax error or too much depth ends the reading: SpecError with that problem alone.
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    reader = _NodeBuilder(file)
    try:
        reader.events = _events(text)
        return reader.document(), reader.problems
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        message = f"not YAML: {error.problem or error.context}"
        raise SpecError([Problem(file, line, "", shorten(message, 200), _hint_of(message))]) from error
    except (YAMLError, ValueError, OverflowError) as error:
        # A ReaderError has a position but no mark; an escape such as "\UFFFFFFFF" is a bare ValueError.
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else reader.line
        first = shorten(str(error).split("\n", 1)[0], 200)
        raise SpecError([Problem(file, line, "", f"not YAML: {first}")]) from error


def plain_scalar(text: str) -> bool | int | float | str | None:
    """What an unquoted scalar means in the core schema of YAML 1.2.

    ScalarError for NaN, infinity, numbers with a leading zero (octal in YAML 1.1, decimal in 1.2) and
    numbers that do not fit 64 bits.
    """
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text[0] in "tT"
    if _OCTAL_LIKE.match(text):
        octal = text.lstrip("+-0") or "0"
        hint = f'write {octal}, or "{text}" if text is meant; octal numbers begin with 0o'
        raise ScalarError(
            f"{shorten(text)} begins with a zero, which readers of YAML understand in two ways", hint
        )
    if _INT.match(text):
        return _fits(text, 10)
    if _OTHER_BASE.match(text):
        return _fits(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.match(text):
        number = float(text)
        if math.isfinite(number):
            return number
        raise ScalarError(f"{shorten(text)} is too large for a number", "put it in quotes if text is meant")
    if _NOT_FINITE.match(text):
        raise ScalarError(f"{text} is not a number that can be compared", "NaN and infinity are not allowed")
    return text


def _fits(digits: str, base: int) -> int:
    if len(digits) <= 70:  # longer ones are slow to read, and never fit
        number = int(digits, base)
        if -(1 << 63) <= number < 1 << 63:
            return number
    raise ScalarError(
        f"{shorten(digits)} does not fit into 64 bits", "put it in quotes if text is meant, or write a float"
    )


def has_bad_letters(text: str) -> bool:
    """Whether a text holds a NUL or a lone surrogate, which file names and UTF-8 cannot hold."""
    return _BAD_LETTER.search(text) is not None


def _events(text: str) -> Iterator[Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.scanner import Scanner

    class TabScanner(Scanner):  # type: ignore[misc,unused-ignore]
        """Lets tabs separate tokens, as YAML 1.2 does; ruamel.yaml 0.19 refuses them outside brackets."""

        def scan_to_next_token(self) -> Any:
            super().scan_to_next_token()
            # Where a key may begin, a tab would be indentation, and stays refused.
            while self.reader.peek() == "\t" and not self.allow_simple_key:
                while self.reader.peek() in "\t ":
                    self.reader.forward()
                super().scan_to_next_token()

    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = TabScanner
    events: Iterator[Any] = yaml.parse(text)
    return events


def _hint_of(message: str) -> str | None:
    if "'\\t'" in message:
        return "indent with spaces, not with tabs"
    if "mapping values are not allowed" in message:
        return "put text that holds a colon and a space in quotes, and check the indentation"
    if "cannot start any token" in message:
        return "put the text in quotes"
    return "check the indentation, brackets and quotes" if "expected" in message else None


class _NodeBuilder:
    """Builds nodes from events, and collects problems. `line` is that of the last event."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.events: Iterator[Any] = iter(())
        self.line = 1
        self.nodes = 0

    def document(self) -> YamlNode | None:
        root: YamlNode | None = None
        event = self._next()
        while (kind := _kind(event)) != "StreamEnd":
            if kind == "DocumentStart":
                if root is not None:
                    self._problem((), "a second document begins here", "one job, one file")
                    break
                if event.version not in (None, (1, 2)):
                    self._problem((), "another version of YAML is asked for", "job files are YAML 1.2")
                root = self._node(self._next(), (), 1)
            event = self._next()
        return root

    def _next(self) -> Any:
        event = next(self.events)
        self.line = event.start_mark.line + 1
        return event

    def _problem(self, path: KeyPath, message: str, hint: str | None = None, line: int | None = None) -> None:
        self.problems.append(Problem(self.file, line or self.line, dotted(path), message, hint))

    def _node(self, event: Any, path: KeyPath, line: int) -> YamlNode:
        """The node that begins with an event. `line` is the line that problems name."""
        self.nodes += 1
        if len(path) > MAX_DEPTH or self.nodes > MAX_NODES:
            deep = len(path) > MAX_DEPTH
            self._problem(
                path[:3],
                f"nested deeper than {MAX_DEPTH} levels" if deep else f"more than {MAX_NODES} values",
            )
            raise SpecError(self.problems)
        kind = _kind(event)
        if kind == "Alias":
            self._problem(path, f"aliases (*{shorten(event.anchor)}) are not allowed", "write the value out")
            return YamlNode(BAD, line)
        if event.anchor is not None:
            self._problem(path, f"anchors (&{shorten(event.anchor)}) are not allowed", "take it out")
        tagged = event.ctag is not None
        if tagged:
            self._problem(
                path, f"tags ({shorten(str(event.ctag))}) are not allowed", "take it out; quotes make text"
            )
        value: Any = BAD
        if kind == "MappingStart":
            value = self._mapping(path)
        elif kind == "SequenceStart":
            value = self._sequence(path)
        elif not tagged:
            value = self._scalar(event, path)
        return YamlNode(BAD if tagged else value, line)

    def _mapping(self, path: KeyPath) -> dict[str, YamlNode]:
        entries: dict[str, YamlNode] = {}
        while _kind(event := self._next()) != "MappingEnd":
            line = self.line
            key = self._key(event, path)
            if key is not None and key in entries:
                hint = f"it stands in line {entries[key].line} already"
                self._problem((*path, key), "this key is there twice", hint, line)
                key = None
            node = self._node(self._next(), (*path, key if key is not None else "?"), line)
            if key is not None:
                entries[key] = node
        return entries

    def _key(self, event: Any, path: KeyPath) -> str | None:
        """A key's text; None, and a problem, for anything that cannot be a key."""
        line = self.line
        if _kind(event) == "Scalar" and _is_plain(event) and event.value == "<<":
            self._problem(path, "merge keys (<<) are not allowed", "write the values out")
            return None
        before = len(self.problems)
        key = self._node(event, (*path, "?"), line).value
        if len(self.problems) > before:
            return None
        if not isinstance(key, str):
            shown = shorten(event.value) if _kind(event) == "Scalar" else "this one"
            self._problem(path, f"keys are text; {shown or 'an empty one'} is not", "put it in quotes", line)
            return None
        return key

    def _sequence(self, path: KeyPath) -> list[YamlNode]:
        items: list[YamlNode] = []
        while _kind(event := self._next()) != "SequenceEnd":
            items.append(self._node(event, (*path, len(items)), self.line))
        return items

    def _scalar(self, event: Any, path: KeyPath) -> Any:
        text: str = event.value
        if has_bad_letters(text):
            self._problem(path, "the text holds a NUL or half a surrogate pair", "take it out")
            return BAD
        if not _is_plain(event):
            return text
        try:
            return plain_scalar(text)
        except ScalarError as error:
            self._problem(path, error.message, error.hint)
            return BAD


def _kind(event: Any) -> str:
    return type(event).__name__.removesuffix("Event")


def _is_plain(event: Any) -> bool:
    return not event.style and event.ctag is None
