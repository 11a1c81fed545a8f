"""Names that others chose (a job's files, its metrics, files of a source), and how they can be shown.

Refused are control characters, halves of surrogate pairs (what is not UTF-8), and the marks that turn the
direction of text, by which one name can look like another. All else is a name: spaces of every width, joiners
(Persian, emoji), letters that this Python does not know yet. `str.isprintable` draws the line elsewhere, and
elsewhere in each release of Python.
"""

from __future__ import annotations

import re

BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""The marks of direction, as the inside of a regular expression's brackets."""

_UNSAFE = re.compile(f"[\x00-\x1f\x7f-\x9f{BIDI}\ud800-\udfff]")
_BREAKS = re.compile("[\u2028\u2029]")


def is_plain(text: str) -> bool:
    """Whether text can stand in a record, on a terminal and in another box's folder as it is."""
    return _UNSAFE.search(text) is None


def fits_a_line(text: str) -> bool:
    """`is_plain`, and one line for everybody."""
    return is_plain(text) and _BREAKS.search(text) is None


def in_one_line(text: str) -> str:
    """Text that can be shown: what is refused, and each end of a line, as `\\xNN` of its bytes.

    Bytes that are not UTF-8 are those that `os.fsdecode` made a surrogate of.
    """
    return _BREAKS.sub(_hex, _UNSAFE.sub(_hex, text))


def _hex(match: re.Match[str]) -> str:
    try:
        data = match.group().encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # the other half of a pair: no file's name has it, JSON may
        data = match.group().encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in data)
