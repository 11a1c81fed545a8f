"""Checks the addresses in a lock: each is taken apart, checked part by part, and written anew.

No text of a lock goes to another program unchecked. Characters that could mean something there (a blank, a
quote, `$`, a control character) are errors. The fragment is for the client only and is left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

MAX_ADDRESS = 8192  # characters; pip gets some addresses as arguments

_PART = r"A-Za-z0-9._~!*()+,=:@%-"
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<user>[A-Za-z0-9._~!*+,=:%-]+@)?"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])"
    r"(?P<port>:[0-9]{1,5})?"
    rf"(?P<path>(?:/[{_PART}]*)*)"
    rf"(?P<query>\?[{_PART}/&?]*)?"
    r"(?:#[!-~]*)?",
    re.ASCII | re.IGNORECASE,
)
_FILE = re.compile(rf"file://(?:localhost)?(?P<path>/[{_PART}/]*)(?:#[!-~]*)?", re.ASCII | re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def web_address(text: str) -> str:
    """An http or https address, written anew without its fragment. ValueError for anything else."""
    match = _ADDRESS.fullmatch(text) if len(text) <= MAX_ADDRESS else None
    if match is None:
        raise ValueError(f"not an address that is taken: {quoted(text)} (http or https, ASCII, %-escaped)")
    user, port, query = (match[name] or "" for name in ("user", "port", "query"))
    return f"{match['scheme'].lower()}://{user}{match['host']}{port}{match['path']}{query}"


def has_scheme(text: str) -> bool:
    return _SCHEME.match(text) is not None


def local_path(text: str, folder: Path) -> Path:
    """The path of a file URL, or of a path as seen from `folder`. ValueError for anything else."""
    if has_scheme(text):
        match = _FILE.fullmatch(text)
        if match is None:
            raise ValueError(f"not a file's address: {quoted(text)}")
        text = unquote(match["path"], errors="strict")
    check_characters(text)
    return folder / text


def file_name(address: str) -> str:
    """The last part of an address's path, unescaped."""
    match = _ADDRESS.fullmatch(address)
    return "" if match is None else unquote(match["path"].rpartition("/")[2])


def check_characters(text: str) -> None:
    """ValueError for characters that names, paths and addresses may not have: `$`, controls, surrogates."""
    for character in text:
        if character == "$" or not (character.isprintable() or character == "\t"):
            raise ValueError(
                f"the character {character!r} (U+{ord(character):04X}) has no place in {quoted(text)}"
            )


def quoted(text: str) -> str:
    """A piece of a lock for a message: in quotes, at most 100 characters, escaped, without passwords."""
    return repr(re.sub(r"//[^/@]*@", "//***@", text)[:100])


def escaped(text: str) -> str:
    """As `quoted`, without the quotes."""
    return quoted(text)[1:-1]
