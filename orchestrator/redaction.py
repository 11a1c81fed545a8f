"""Secrets kept out of what is said and recorded: in addresses, and those that this process knows."""

from __future__ import annotations

import re

SHOWN = 300  # characters of an address in a message

_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s]*@")
_UNPRINTED = re.compile(r"[^!-~]")


def bare_address(url: str) -> str:
    """`scheme://host:port/path` for messages: no user, password, query, fragment or strange characters."""
    text = _USERINFO.sub(r"\g<scheme>", re.split(r"[?#]", url, maxsplit=1)[0])
    text = _UNPRINTED.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
