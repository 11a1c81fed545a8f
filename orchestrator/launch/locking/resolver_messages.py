"""Says in a few words why the resolver failed. Its own text is long, and an index wrote part of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestrator.errors import InfrastructureError, RepriseError
from orchestrator.image.packages.base_packages import held
from orchestrator.image.wheels.wheel_address import escaped
from orchestrator.launch.locking.base_clashes import Clash, LockError, base_clash
from orchestrator.launch.locking.lock_target import LockTarget
from orchestrator.launch.locking.provided_stubs import MARK
from orchestrator.launch.locking.requirement_line import RequestedPackage

MAX_TEXT = 200_000  # characters of the resolver's text that are looked at
SHOWN_LINES = 30  # of it, behind --verbose

_NAME = r"(?<![a-z0-9-])[a-z0-9]+(?:-[a-z0-9]+)*"
_VERSIONS = r"(?:(?:===?|!=|<=|>=|<|>|~=)[A-Za-z0-9.*+!]+(?:,(?=[=!<>~]))?)+"
_DEPENDS = re.compile(
    rf"(?P<who>{_NAME})(?:\[[a-z0-9,-]*\])?(?:{_VERSIONS})? ?(?:depends?|cannot be used\. depend) on "
    rf"(?P<package>{_NAME})(?:\[[a-z0-9,-]*\])?(?P<versions>{_VERSIONS})?"
)
_REQUIRE = re.compile(rf"you require (?P<package>{_NAME})(?:\[[a-z0-9,-]*\])?(?P<versions>{_VERSIONS})?")
_ABSENT = re.compile(
    rf"(?P<package>{_NAME}) was not found in the (?:package registry|provided package locations|cache)"
)
_NO_VERSION = re.compile(
    rf"there (?:is|are) no versions? of (?P<package>{_NAME})(?:\[[a-z0-9,-]*\])?(?P<versions>{_VERSIONS})?"
)
_NO_WHEEL = re.compile(rf"Wheels are required for `?(?P<package>{_NAME})`?")
_NO_TAG = re.compile(
    rf"(?P<package>{_NAME})(?P<versions>{_VERSIONS})? has no (?:usable wheels|wheels with a matching)"
)
_PYTHON = re.compile(rf"(?P<who>{_NAME})(?:{_VERSIONS})? requires Python ?(?P<versions>{_VERSIONS})")
_NETWORK = re.compile(
    r"Request failed|Failed to fetch|error sending request|[Nn]etwork connectivity is disabled"
    r"|Could not connect|dns error|HTTP status|timed out"
)
_NO_EXTRA = re.compile(
    rf"The package `(?P<package>{_NAME})==(?P<version>[A-Za-z0-9.+!_-]+)` does not have an extra named "
    r"`(?P<extra>[A-Za-z0-9._-]+)`"
)
_LOGIN = re.compile(r"\((?:401 Unauthorized|403 Forbidden)\)|lack of valid authentication")


def resolver_error(said: str, target: LockTarget, wanted: Iterable[RequestedPackage]) -> RepriseError:
    """An error for what uv said on standard error."""
    lines = _cleaned(said)
    text = " ".join(lines)
    if "No solution found" not in text:
        return _broken(lines, text)
    shown = lines[-SHOWN_LINES:]
    asked = list(wanted)
    clashes = _base_clashes(text, target)
    if clashes:
        return base_clash(target, clashes, shown)
    return (
        _absent(text, shown)
        or _python(text, target, shown)
        or _no_version(text, target, shown)
        or _no_wheel(text, target, asked, shown)
        or _contradiction(text, asked, shown)
    )


def _cleaned(said: str) -> list[str]:
    plain = (
        "".join(letter if letter.isprintable() else " " for letter in line)
        for line in said[-MAX_TEXT:].splitlines()
    )
    lines = (re.sub(r"\s+", " ", line).strip().replace(f"+{MARK}", "") for line in plain)
    return [_without_login(line) for line in lines if line]


def _without_login(line: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//***@", line)[:500]


def _broken(lines: list[str], text: str) -> RepriseError:
    causes = [
        line.removeprefix("error: ").removeprefix("cause: ")
        for line in lines
        if not line.startswith("Resolved ")
    ]
    short = ": ".join(dict.fromkeys([*causes[:2], *causes[-1:]]))[:600]
    if _LOGIN.search(text):
        return InfrastructureError(
            f"the package index refuses: {short}", "check its address and login: pip config list"
        )
    if _NETWORK.search(text):
        return InfrastructureError(
            f"uv cannot reach the package index: {short}", "check the network, pip's index-url"
        )
    return LockError(f"uv cannot resolve these requirements: {short}", resolver=lines[-SHOWN_LINES:])


def _base_clashes(text: str, target: LockTarget) -> list[Clash]:
    """Requirements in the resolver's text that the base's PyTorch, or what belongs to it, does not meet."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    has = target.provided()
    found: list[Clash] = []
    for match in [*_DEPENDS.finditer(text), *_REQUIRE.finditer(text)]:
        package, versions = match["package"], match["versions"] or ""
        if package not in has or not held(package):
            continue
        try:
            fits = SpecifierSet(versions).contains(has[package], prereleases=True)
        except InvalidSpecifier:
            continue
        if not fits:
            found.append((match.groupdict().get("who") or "", package, versions))
    return list(dict.fromkeys(found))


def _absent(text: str, shown: list[str]) -> LockError | None:
    names = list(dict.fromkeys(match["package"] for match in _ABSENT.finditer(text)))
    if not names:
        return None
    hint = (
        "check how it is spelt (what is imported may be called otherwise: cv2 is opencv-python-headless), "
        "and where pip looks, with which login: pip config list"
    )
    return LockError(f"the package index has no {' and no '.join(names[:5])}", hint, shown)


def _python(text: str, target: LockTarget, shown: list[str]) -> LockError | None:
    match = _PYTHON.search(text)
    if match is None:
        return None
    return LockError(
        f"{match['who']} needs Python{match['versions']}; the base {target.base} has {target.python.version}",
        "ask for an older version of it, or make a base of your own with another Python",
        shown,
    )


def _no_version(text: str, target: LockTarget, shown: list[str]) -> LockError | None:
    match = _NO_VERSION.search(text)
    if match is None:
        return None
    who = next((one["who"] for one in _DEPENDS.finditer(text) if one["package"] == match["package"]), None)
    return LockError(
        f"the package index has no {match['package']}{match['versions'] or ''}"
        + (f", which {who} needs" if who else f" for the base {target.base}"),
        "ask for another version",
        shown,
    )


def _no_wheel(
    text: str, target: LockTarget, asked: list[RequestedPackage], shown: list[str]
) -> LockError | None:
    names = [match["package"] for match in (*_NO_WHEEL.finditer(text), *_NO_TAG.finditer(text))]
    if not names:
        return None
    mine = next((one for one in asked if one.name in names), None)
    needed = (match["versions"] for match in _NO_TAG.finditer(text) if match["package"] == names[0])
    name, versions = (
        (mine.name, mine.specifier) if mine is not None else (names[0], next(filter(None, needed), ""))
    )
    version = ".".join(target.python.version.split(".")[:2])
    return LockError(
        f"{name}{versions} has no wheel for Python {version} on {target.python.machine} Linux, and nothing "
        "is built from source: a strange package's build would run on this machine",
        "ask for a version that has one, or build its wheel where you trust it, and lock again: "
        f"pip wheel --no-deps '{name}{versions}' -w ~/wheels; export PIP_FIND_LINKS=~/wheels",
        shown,
    )


def _contradiction(text: str, asked: list[RequestedPackage], shown: list[str]) -> LockError:
    named = set(re.findall(_NAME, text))
    mine = [f"you ask for {one.line()}" for one in asked if one.name in named and one.specifier]
    needs = [
        f"{match['who']} needs {match['package']}{match['versions']}"
        for match in _DEPENDS.finditer(text)
        if match["versions"]
    ]
    parts = list(dict.fromkeys([*mine, *needs]))[:6]
    return LockError(
        "no versions fit together: " + ("; ".join(parts) or escaped(text[-300:])),
        "loosen one of them; --verbose shows the resolver's own words",
        shown,
    )


def missing_extra(said: str, wanted: Iterable[RequestedPackage], stubs: set[str]) -> LockError | None:
    """An error where what was chosen for somebody's `name[extra]` has no such extra.

    uv then goes back to the newest version without it, which may be years old, and only warns.
    """
    asked = {one.name: one.extras for one in wanted}
    for match in _NO_EXTRA.finditer(" ".join(_cleaned(said))):
        name, extra = match["package"], match["extra"]
        if extra in asked.get(name, ()) and name not in stubs:
            return LockError(
                f"{name}[{extra}]: the newest version with wheels for all that it needs is {name} "
                f"{match['version']}, and that has no extra called {extra}",
                f"leave the extra out; {name}[{extra}]>{match['version']} says what has no wheel",
            )
    return None
