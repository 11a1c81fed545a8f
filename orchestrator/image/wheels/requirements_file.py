"""Reads a hash-locked requirements file: its pins, and the places that it names for wheels."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.lock import Lock, Pin, make_pin, not_locked, problems_of
from orchestrator.image.wheels.wheel_address import (
    check_characters,
    escaped,
    has_scheme,
    local_path,
    quoted,
    web_address,
)
from orchestrator.image.wheels.wheel_target import marker_environment

_MAX_LINE = 1 << 20  # characters of a logical line: a package with 10,000 hashes
_MAX_PROBLEMS = 100  # a hostile lock has millions
_MAX_PLACES = 100  # indexes, pages and folders
_MAX_REQUIREMENT = 4096  # characters without its hashes
_COMMENT = re.compile(r"(^|[ \t])#.*$")
LINE_HASH = re.compile(r"[ \t]--hash[= ](?P<hash>[^ \t]+)")
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})\Z")
# Options that tools write into locks; they change nothing for a locked file.
_IMPLIED = re.compile(r"--(require-hashes|prefer-binary|pre|only-binary[= ]:all:)\Z")
_INDEX = ("--index-url", "-i")
_LINKS = ("--find-links", "-f")
_ONE_VALUE = (*_INDEX, "--extra-index-url", *_LINKS)


def read_requirements(path: Path, text: str, python: PythonFacts) -> Lock:
    """The pins that apply to the target. UsageError with every problem and its line."""
    pins: dict[str, Pin] = {}
    options = _LockOptions(path.parent)
    problems: list[str] = []
    for number, line in logical_lines(text):
        if len(problems) == _MAX_PROBLEMS:
            problems.append("and perhaps more")
            break
        try:
            check_characters(line)
            if line.startswith("-"):
                options.take(line)
                continue
            pin = _pin(line, python)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        if pin is not None and pin.name in pins:
            problems.append(f"line {number}: {pin.name} is pinned twice for Python {python.version}")
        elif pin is not None:
            pins[pin.name] = pin
    if "--hash" not in text and any(one.endswith("no --hash=sha256:") for one in problems):
        raise not_locked(path)
    if problems:
        raise problems_of(path, problems)
    return options.lock(tuple(pins[name] for name in sorted(pins)))


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, continuations joined, each with the number of its first line."""
    joined, start = "", 0
    for number, physical in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        line = _COMMENT.sub("", physical).strip(" \t")
        start = start if joined else number
        if line.endswith("\\") and len(joined) < _MAX_LINE:
            joined += line[:-1] + " "
            continue
        if joined + line:
            yield start, (joined + line).strip(" \t")
        joined = ""
    if joined.strip(" \t"):
        yield start, joined.strip(" \t")


class _LockOptions:
    """The options of a requirements file that are allowed: where wheels are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index: str | None = None
        self._more: list[str] = []
        self._pages: list[str] = []
        self._folders: list[Path] = []
        self._no_index = False

    def take(self, line: str) -> None:
        """ValueError: a lock may not give this option, or its value is malformed."""
        if _IMPLIED.match(" ".join(line.split())):
            return
        name, _, rest = line.replace("=", " ", 1).partition(" ")
        try:
            values = shlex.split(rest)
        except ValueError as error:
            raise ValueError(f"{quoted(name)}: {error}") from None
        if name == "--no-index":
            if values:
                raise ValueError(f"--no-index takes no value, and here is {quoted(rest.strip())}")
            self._no_index = True
        elif name == "--trusted-host":
            raise ValueError(
                "--trusted-host: whom to trust without a certificate is yours to say, not a lock's: "
                "delete the line, and set PIP_TRUSTED_HOST if you mean it"
            )
        elif name not in _ONE_VALUE:
            raise ValueError(f"option not allowed here: {escaped(name)}")
        elif len(values) != 1:
            raise ValueError(f"{name} takes one value, and here are {len(values)}: {quoted(rest.strip())}")
        else:
            self._add(name, values[0])

    def _add(self, name: str, value: str) -> None:
        if len(self._more) + len(self._pages) + len(self._folders) >= _MAX_PLACES:
            raise ValueError(f"{name}: more than {_MAX_PLACES} places to look for wheels")
        if name in _INDEX:
            self._index = web_address(value)
        elif name not in _LINKS:
            self._more.append(web_address(value))
        elif has_scheme(value) and not value.lower().startswith("file:"):
            self._pages.append(web_address(value))
        else:
            self._folders.append(local_path(value, self._folder))  # relative to the lock

    def lock(self, pins: tuple[Pin, ...]) -> Lock:
        return Lock(
            pins=pins,
            index=self._index,
            more_indexes=tuple(self._more),
            pages=tuple(self._pages),
            folders=tuple(self._folders),
            no_index=self._no_index,
        )


def _pin(line: str, python: PythonFacts) -> Pin | None:
    """A requirement's pin; None where its marker excludes the target. ValueError says what is wrong."""
    from packaging.requirements import InvalidRequirement, Requirement

    hashes = [match.group("hash") for match in LINE_HASH.finditer(line)]
    text = LINE_HASH.sub("", line).strip()
    if len(text) > _MAX_REQUIREMENT:
        raise ValueError(f"too long for a requirement: {quoted(text)}")
    try:
        requirement = Requirement(text)
        applies = requirement.marker is None or requirement.marker.evaluate(marker_environment(python))
    except (InvalidRequirement, RecursionError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"not a requirement: {quoted(text)} ({reason[:200]})") from None
    if not applies:
        return None
    if requirement.url:
        raise ValueError(f"{requirement.name}: a link is not a pin; write name==version with its hash")
    specifiers = list(requirement.specifier)
    exact = len(specifiers) == 1 and specifiers[0].operator == "==" and "*" not in specifiers[0].version
    wrong = [] if exact else ["not pinned with =="]
    found = tuple(match.group(1) for match in map(_SHA256.match, hashes) if match)
    if not found:
        wrong.append("no --hash=sha256:" if not hashes else "no valid --hash=sha256:")
    if wrong:
        raise ValueError(f"{requirement.name}: {', '.join(wrong)}")
    return make_pin(requirement.name, specifiers[0].version, found)
