"""The parts of a page, without their look, which cli/terminal/console.py gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple


class Tone(StrEnum):
    """How a text is meant."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    ODD = "odd"  # neither: unknown, not comparable, a warning
    QUIET = "quiet"
    STRONG = "strong"


class Text(NamedTuple):
    """One or more lines."""

    text: str = ""
    tone: Tone = Tone.PLAIN


class Fields(NamedTuple):
    """Names and values; a pair whose value is empty is left out."""

    pairs: Iterable[tuple[str, str]]
    indent: int = 0


class Table(NamedTuple):
    columns: Sequence[str]
    rows: Iterable[Sequence[str]]
    right: Sequence[str] = ()  # columns that are aligned to the right


class Tree(NamedTuple):
    text: str
    children: Sequence[Tree] = ()


class Patch(NamedTuple):
    """A unified diff."""

    text: str


Block = Text | Fields | Table | Tree | Patch


class View(NamedTuple):
    """One answer in all its forms."""

    document: Mapping[str, Any]  # for programs; `json_form.py` says how it becomes JSON
    page: Iterable[Block]  # for people; made when it is read
    word: str = ""  # the answer alone


_TONES = {
    Tone.GOOD: ("succeeded", "identical", "within_tolerance", "ok"),
    Tone.BAD: ("failed", "different", "wrong"),
    Tone.ODD: ("lost", "cancelled", "not_comparable", "not_instrumented"),
}


def tone_of(text: str) -> Tone:
    """The tone of a value that begins with a state, an outcome or a check's result."""
    word = text.split(" ", 1)[0]
    return next((tone for tone, words in _TONES.items() if word in words), Tone.PLAIN)


def warning(text: str) -> Text:
    return Text(f"warning: {text}", Tone.ODD)


def next_commands(commands: Iterable[str]) -> Text:
    """What to type next."""
    return Text("\nnext:  " + "\n       ".join(commands), Tone.QUIET)
