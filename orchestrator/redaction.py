"""Takes secrets out of what is printed and recorded: those in addresses, and those of this process.

Our messages hold only host, port and name (`bare_address`). Text from elsewhere, such as a library's error
or a server's answer, goes through `redact` first: `RepriseError` does that for every message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote, unquote

SHOWN = 300  # characters of an address in a message
SHORT = 6  # characters; a shorter secret, replaced wherever it stands, would make texts unreadable
STARS = "***"

# Environment variables that hold a secret, or an address that may hold one.
SECRETS = ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN")
ADDRESSES = (
    *("REPRISE_DATABASE_URL", "REPRISE_STORE", "REPRISE_REGISTRY", "REPRISE_RAY"),
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "DOCKER_HOST"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
)

# user@, user:password@; also a password with an unquoted slash, which cannot be a port. A job chooses the
# text, so it is looked for from `://` on, not from each letter of a long word; what may hold all is bounded.
_USERINFO = re.compile(
    r"(?<=[A-Za-z0-9+.-])://"
    r"(?:[^\s/?#@'\"]*@(?:[^\s/?#'\"]*@)?|[^\s/:@'\"]*:(?!\d{1,5}/)[^\s'\"]{0,512}@)"
)
_NAMED = re.compile(
    r"(?i)(?P<name>\b(?:\w*(?:password|passwd|secret|secret_?(?:access_?)?key|token|api_?key)|pwd|sig|signature"
    r"|x-amz-(?:signature|credential|security-token))(?:\s*=\s*|['\"]\s*:\s*(?=['\"])))"
    # What a hint asks for stays: an input may be called `token`, and then `--input token=PATH` mends it.
    r"(?!(?-i:PATH|VALUE)(?![^\s,;`]))(?P<value>\"[^\"]*\"|'[^']*'|[^\s&,;'\"]+)"
)
_HEADER = re.compile(r"\b(?P<kind>[Bb]asic|[Bb]earer)\s+(?=[\w+/.~-]*[0-9=])[\w+/=.~-]{8,}")
_UNPRINTED = re.compile(r"[^!-~]")

_remembered: set[str] = set()


def remember(secret: str) -> None:
    """From now on `redact` takes it out of every text of this process."""
    _remembered.add(secret)


def redact(text: str) -> str:
    """A text without secrets: in addresses, in `name=value`, in headers, and those that are known."""
    text = redact_known(text)
    text = _USERINFO.sub("://", text)
    text = _NAMED.sub(lambda match: f"{match['name']}{STARS}", text)
    return _HEADER.sub(lambda match: f"{match['kind']} {STARS}", text)


def redact_known(text: str) -> str:
    """A text without the secrets in this process's environment and those given to `remember`."""
    return redactor()(text)


def redactor() -> Callable[[str], str]:
    """`redact_known` for many texts, such as the lines of a log: to look the secrets up takes 50 µs."""
    known = {secret for secret in (*_remembered, *_of_environment()) if len(secret) >= SHORT}
    secrets = sorted(known, key=len, reverse=True)

    def redacted(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, STARS)
        return text

    return redacted


def bare_address(url: str) -> str:
    """`scheme://host:port/path` for messages: no user, password, query, fragment or strange characters."""
    text = _USERINFO.sub("://", re.split(r"[?#]", url, maxsplit=1)[0])
    text = _UNPRINTED.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def bare_remote(url: str) -> str:
    """A git remote as it may be recorded for ever: without user, password, query and fragment.

    In `git@host:path` the user stays: it says how to log in, and cannot hold a secret.
    """
    text = url.strip()
    if "://" not in text:
        user, at, rest = text.partition("@")
        return redact(rest if at and re.search(r"[:/]", user) else text)
    head, _, rest = re.split(r"[?#]", text, maxsplit=1)[0].partition("://")
    authority, slash, path = rest.partition("/")
    _, colon, port = authority.rpartition("@")[2].rpartition(":")
    if colon and not port.isdecimal() and "]" not in port and "@" in path:  # a password with a slash
        authority, slash, path = "", "", path.rpartition("@")[2]
    return redact(f"{head}://{authority.rpartition('@')[2]}{slash}{path}")


def _of_environment() -> Iterator[str]:
    for name in SECRETS:
        yield from _forms(os.environ.get(name, ""))
    for name in ADDRESSES:
        text = os.environ.get(name, "")
        _, scheme, rest = text.partition("://")
        userinfo, at, place = rest.rpartition("@")
        _, colon, password = userinfo.partition(":")
        # A password that equals the user or a part of the address is public anyway.
        if scheme and at and colon and password not in place and password != userinfo.partition(":")[0]:
            yield from _forms(password)
        for match in _NAMED.finditer(text.partition("?")[2]):
            yield from _forms(match["value"])


def _forms(secret: str) -> tuple[str, ...]:
    """A secret as given, and as libraries print it."""
    plain = unquote(secret)
    return secret, plain, quote(plain, safe=""), quote(plain)
