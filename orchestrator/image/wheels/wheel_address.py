"""Addresses that a lock names: taken apart, each part checked, and written anew.

What a lock says goes to no other program as it stands. A part that could mean something to one (a blank,
a quote, `$`, a control character) is an error, and the fragment, which is for the client only, is left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

MAX_ADDRESS = 8192  # characters; a program is started with some of them as its arguments

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
    """An http or https address out of its checked parts, without fragment. ValueError: it is none."""
    match = _ADDRESS.fullmatch(text) if len(text) <= MAX_ADDRESS else None
    if match is None:
        raise ValueError(f"not an address that is taken: {told(text)} (http or https, ASCII, %-escaped)")
    user, port, query = (match[name] or "" for name in ("user", "port", "query"))
    return f"{match['scheme'].lower()}://{user}{match['host']}{port}{match['path']}{query}"


def has_scheme(text: str) -> bool:
    return _SCHEME.match(text) is not None


def local_path(text: str, folder: Path) -> Path:
    """A file URL, or a path as seen from `folder`. ValueError: it is neither."""
    if has_scheme(text):
        match = _FILE.fullmatch(text)
        if match is None:
            raise ValueError(f"not a file's address: {told(text)}")
        text = unquote(match["path"], errors="strict")
    check_characters(text)
    return folder / text


def file_name(address: str) -> str:
    """The last part of an address's path, unescaped."""
    match = _ADDRESS.fullmatch(address)
    return "" if match is None else unquote(match["path"].rpartition("/")[2])


def check_characters(text: str) -> None:
    """ValueError for what has no business in a name, a path or an address: `$`, controls, surrogates."""
    for character in text:
        if character == "$" or not (character.isprintable() or character == "\t"):
            raise ValueError(
                f"the character {character!r} (U+{ord(character):04X}) has no place in {told(text)}"
            )


def told(text: str) -> str:
    """A piece of a lock for a message: short, escaped, and without what may be a password."""
    return repr(re.sub(r"//[^/@]*@", "//***@", text)[:100])
