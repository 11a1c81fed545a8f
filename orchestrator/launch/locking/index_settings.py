"""Where packages come from: what this box's pip is configured with, in the words that uv understands.

uv reads none of pip's configuration, and its own configuration files are left out: one place says where this
box's packages come from, and pip fetches from there what was locked. Addresses go to uv in its environment,
because other users of the machine can read a command line; they may hold passwords.
"""

from __future__ import annotations

import ast
import math
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import InfrastructureError
from orchestrator.image.wheels.wheel_address import has_scheme

_TIME = 60.0  # seconds that pip may take to say what it is configured with
_OUTPUT = 1 << 20  # bytes of it
_LINE = re.compile(r"(?P<section>:env:|[a-z-]+)\.(?P<key>[a-z-]+)=(?P<value>['\"].*)")
# Later ones count, as in `pip download`; for lists, too.
_SECTIONS = ("global", "download", ":env:")

# What uv needs to reach an index, and nothing else.
_PASSED = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "NETRC",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT",
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS",
    "UV_INDEX_STRATEGY", "UV_KEYRING_PROVIDER", "UV_INSECURE_HOST", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS",
    "UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_OFFLINE",
}  # fmt: skip
_LOGIN = re.compile(r"UV_INDEX_[A-Z0-9_]+_(USERNAME|PASSWORD)")
# pip's setting -> uv's variable, where both mean the same single value.
_SAME = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
}


def pip_settings(host: Mapping[str, str] = os.environ) -> dict[str, str]:
    """This box's settings of `pip download`, as pip itself reads its files and variables.

    Empty where this Python has no pip. InfrastructureError: a broken configuration.
    """
    command = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "config", "list"]
    try:
        done = subprocess.run(
            command, env=dict(host), capture_output=True, timeout=_TIME, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise InfrastructureError(f"pip did not say in {_TIME:g} s what it is configured with") from None
    out = done.stdout[:_OUTPUT].decode("utf-8", "replace")
    problem = done.stderr[:_OUTPUT].decode("utf-8", "replace").strip()
    if done.returncode and "No module named pip" in problem:
        return {}
    if done.returncode:
        # pip's words quote the lines that it cannot read, and a password may stand in them.
        raise InfrastructureError("pip's configuration cannot be read", "pip config list says what is wrong")
    return parse_settings(out)


def parse_settings(text: str) -> dict[str, str]:
    """The lines of `pip config list` as key to value, by the precedence of `pip download`."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match["section"] not in _SECTIONS:
            continue
        try:
            value = ast.literal_eval(match["value"])
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, str):
            found.setdefault(match["section"], {})[match["key"]] = value
    return {key: value for section in _SECTIONS for key, value in found.get(section, {}).items()}


def uv_environment(
    host: Mapping[str, str], pip: Mapping[str, str], stubs: Path, room: Path
) -> dict[str, str]:
    """The environment of uv: the person's own index settings, pip's beside them, `stubs` as one more folder.

    Where both name the one index that comes first, uv's is taken.
    """
    made = {
        name: value
        for name, value in host.items()
        if name.upper() in _PASSED or _LOGIN.fullmatch(name) is not None
    }
    if "UV_INDEX_URL" in made:
        made.setdefault("UV_DEFAULT_INDEX", made["UV_INDEX_URL"])
    for key, name in _SAME.items():
        if pip.get(key):
            made.setdefault(name, _whole(pip[key]) if key.endswith("timeout") else pip[key])
    if "SSL_CERT_FILE" not in made and Path(ssl.get_default_verify_paths().cafile or "/none").exists():
        made.setdefault("UV_SYSTEM_CERTS", "true")  # a company's own certificate is among the system's
    if pip.get("keyring-provider") == "subprocess":
        made.setdefault("UV_KEYRING_PROVIDER", "subprocess")
    _join(made, "UV_INDEX", " ", pip.get("extra-index-url", "").split())
    _join(made, "UV_INSECURE_HOST", " ", pip.get("trusted-host", "").split())
    links = [_address(place) for place in pip.get("find-links", "").split()]
    _join(made, "UV_FIND_LINKS", ",", [*(link for link in links if link), _address(str(stubs))])
    return {
        # As pip does: of all indexes the best version. pip fetches what is locked, so both must see the same.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        **made,
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "TMPDIR": str(room),
    }


def _whole(seconds: str) -> str:
    """pip's seconds may have a fraction, uv's may not. What is no number is left to uv to refuse."""
    try:
        return str(math.ceil(float(seconds)))
    except (ValueError, OverflowError):
        return seconds


def _join(made: dict[str, str], name: str, separator: str, more: list[str]) -> None:
    words = [word for word in made.get(name, "").split(separator) if word]
    if words or more:
        made[name] = separator.join([*words, *more])


def _address(place: str) -> str:
    """A folder as a file address, its commas escaped; empty where it is absent: pip ignores that, too."""
    if has_scheme(place):
        return place.replace(",", "%2C")
    path = Path(os.path.expanduser(place)).absolute()  # noqa: PTH111  (as pip does, `~nobody` stays)
    return path.as_uri().replace(",", "%2C") if path.exists() else ""


def without_index(pip: Mapping[str, str]) -> bool:
    """Whether pip is told to use no index, only folders and pages; uv has no variable for it."""
    return pip.get("no-index", "").strip().lower() in ("1", "true", "yes", "on", "y", "t")
