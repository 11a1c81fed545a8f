"""Names that others chose (a job's files and metrics, files of a source), and how to show them safely.

Control characters, halves of surrogate pairs (bytes that are not UTF-8), and marks that turn the direction of
text, by which one name can look like another, are refused. Everything else is allowed: spaces of every width,
joiners (Persian, emoji), letters newer than this Python. `str.isprintable` would refuse some of these, and
differs between releases of Python.
"""

from __future__ import annotations

import re

BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Marks that turn the direction of text, for use inside a regular expression's brackets."""

_UNSAFE = re.compile(f"[\x00-\x1f\x7f-\x9f{BIDI}\ud800-\udfff]")
_BREAKS = re.compile("[\u2028\u2029]")


def is_plain(text: str) -> bool:
    """Whether text can be recorded, printed and used as a file name without a change."""
    return _UNSAFE.search(text) is None


def fits_a_line(text: str) -> bool:
    """`is_plain`, and a single line in every program."""
    return is_plain(text) and _BREAKS.search(text) is None


def in_one_line(text: str) -> str:
    """Text that can be shown in one line: refused characters and line ends become `\\xNN` of their bytes.

    Surrogates from `os.fsdecode` become the byte that was not UTF-8.
    """
    return _BREAKS.sub(_hex, _UNSAFE.sub(_hex, text))


def _hex(match: re.Match[str]) -> str:
    try:
        data = match.group().encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # the other half of a pair: JSON may hold it, file names cannot
        data = match.group().encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in data)
