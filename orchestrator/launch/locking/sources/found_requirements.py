"""What a file asks for, in whatever form it is written."""

from __future__ import annotations

import codecs
from contextlib import suppress
from pathlib import Path

from orchestrator.spec.follow_links import follow_links
from orchestrator.value import Value

MAX_FILE = 4 << 20  # bytes of a file of requirements


def text_of(data: bytes) -> str:
    """As pip reads it: `pip freeze > requirements.txt` and `conda env export > …` write UTF-16 in PowerShell.

    A letter that is not UTF-8 is replaced: it can only stand in a comment.
    """
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig", "replace")


def place_inside(folder: Path, path: Path) -> Path | None:
    """A path with its links followed; None where it leads out of `folder`, or nowhere."""
    try:
        place = follow_links(path)
        with suppress(FileNotFoundError, NotADirectoryError):
            place.lstat()  # too long a name: neither resolving nor, since Python 3.14, `exists` says so
        return place if place.is_relative_to(folder.resolve()) else None
    except (OSError, ValueError):  # too long, a loop of links, a null character
        return None


class FoundRequirements(Value):
    lines: tuple[str, ...] = ()  # requirements as PEP 508 writes them, unchecked
    limits: tuple[str, ...] = ()  # in the same form: versions of what is needed anyway (`-c` of pip)
    notes: tuple[str, ...] = ()  # what was left out, and why
    itself: tuple[str, ...] = ()  # extras of the project itself that are asked for (`-e .[dev]`); "": none

    def and_more(self, other: FoundRequirements) -> FoundRequirements:
        return FoundRequirements(
            lines=self.lines + other.lines,
            limits=self.limits + other.limits,
            notes=tuple(dict.fromkeys(self.notes + other.notes)),
            itself=tuple(dict.fromkeys(self.itself + other.itself)),
        )
