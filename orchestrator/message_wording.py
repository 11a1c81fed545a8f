"""How messages count, list and shorten things."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

_COMPARED = 1000  # names that a misspelt word is compared with: a stranger's file may have more


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 output`, `1,204 outputs`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(items: Sequence[str], limit: int = 3, between: str = ", ") -> str:
    """`a, b, c and 4 more`."""
    rest = len(items) - limit
    return between.join(items[:limit]) + (f" and {rest:,} more" if rest > 0 else "")


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters; the last one is … where others were cut."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """A hint: the known name that is spelt like the word; `otherwise` where none is."""
    from difflib import get_close_matches  # mostly nothing is misspelt

    near = get_close_matches(word[:100], [name[:100] for name in islice(known, _COMPARED)], 1)
    return f"did you mean {near[0]}?" if near else otherwise
