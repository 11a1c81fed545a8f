"""The boundary round what a job wrote: a file that cannot be read costs only that file, and a note says so.

Readers of content may raise anything. Memory is bounded before anything is parsed: a few bytes of JSON can
make objects of a few hundred bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from orchestrator.errors import RepriseError
from orchestrator.run.collect.walk_tree import shown_name

MOST_MEMORY = 160 << 20  # bytes that one parsed document may need
MAX_REASON = 200  # characters
MAX_NOTES = 200  # of one run

# Bytes of memory that each of these characters can cost at most, in CPython 3.11 to 3.13: `[` a list, `{` a
# dict with one entry, `,` a place in either with its value and its share of a growing table, `"` half a text.
_COSTS = ((b"[", 100), (b"{", 260), (b",", 100), (b'"', 40))


class MemoryLimitError(ValueError):
    """A document that would need too much memory."""


@contextmanager
def costs_that_file(what: str, note: Callable[[str], None]) -> Iterator[None]:
    """Turn what is raised inside into a note. Errors of the store, the engine or the record pass through: the
    job did not cause them, so its files must not be given up for them.
    """
    try:
        yield
    except RepriseError:
        raise
    except Exception as error:  # noqa: BLE001 - of content that somebody else chose: anything can be wrong
        note(f"{what}: {reason(error)}")


def reason(error: Exception) -> str:
    """Why it failed, in one line that can be shown and stored."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "there is not enough memory to read it"
    if isinstance(error, OSError):
        return clean(error.strerror or type(error).__name__, MAX_REASON)
    return clean(str(error) or type(error).__name__, MAX_REASON)


def clean(value: object, most: int) -> str:
    """A job's text as one line that every terminal, column and hash takes."""
    return shown_name(str(value)[:most])[:most]


def parse_json(data: bytes) -> Any:
    """What `json.loads` gives. ValueError for what is not JSON or would take more than MOST_MEMORY.

    Bytes that are not UTF-8 become U+FFFD, a byte order mark is skipped.
    """
    refuse_large(data)
    return json.loads(data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))


def refuse_large(data: bytes) -> None:
    """MemoryLimitError for JSON whose objects may take more than MOST_MEMORY."""
    text = len(data) * (1 if data.isascii() else 4)
    if len(data) + text + sum(data.count(sign) * cost for sign, cost in _COSTS) > MOST_MEMORY:
        raise MemoryLimitError(f"it would take more than {MOST_MEMORY >> 20} MiB to read")


def lines(stream: BinaryIO, longest: int) -> Iterator[bytes | None]:
    """Lines without their `\\n`, the only line end here; None for each line of more than `longest` bytes.

    The rest of a long line is skipped and never held. What follows the last `\\n` is also a line.
    """
    while line := stream.readline(longest + 1):
        if line.endswith(b"\n"):
            yield line[:-1]
        elif len(line) <= longest:
            yield line
        else:
            while (more := stream.readline(longest)) and not more.endswith(b"\n"):
                pass
            yield None


def bounded(notes: list[str]) -> tuple[str, ...]:
    """The first MAX_NOTES, and how many more there were."""
    if len(notes) <= MAX_NOTES:
        return tuple(notes)
    return (*notes[:MAX_NOTES], f"{len(notes) - MAX_NOTES} more notes were left out")
