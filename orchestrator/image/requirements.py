"""Reading a lock: a hash-locked requirements file or a pylock.toml, for one target. Nothing is fetched."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.image.model import PythonFacts
from orchestrator.image.target import marker_environment, tags
from orchestrator.value import Value

HINT = "lock it with: uv pip compile --generate-hashes requirements.in -o requirements.txt"

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--hash[= ](?P<hash>\S+)")
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})\Z")
# Where the user's wheels come from is the user's choice: handed to pip as it stands.
_SOURCES = ("--index-url", "-i", "--extra-index-url", "--find-links", "-f", "--no-index", "--trusted-host")
_IMPLIED = ("--require-hashes", "--only-binary", "--prefer-binary", "--pre")  # no effect on a locked file


class Pin(Value):
    """One package of a lock that the target needs."""

    name: str  # canonical
    version: str
    sha256: tuple[str, ...]  # hex; any of them may be the file that fits
    url: str | None = None  # where the lock says it is; else pip's index

    def requirement(self, operator: str = "==") -> str:
        """The line that pip is given. `==` takes 2.13.0+cpu for 2.13.0, too; `===` does not."""
        start = f"{self.name} @ {self.url}" if self.url else f"{self.name}{operator}{self.version}"
        return " ".join([start, *(f"--hash=sha256:{digest}" for digest in self.sha256)])


class Lock(Value):
    pins: tuple[Pin, ...]
    options: tuple[str, ...] = ()  # lines for pip: index, links


def read_lock(path: Path, python: PythonFacts) -> Lock:
    """The pins of a lock that apply to the target. UsageError with every problem and its line."""
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise UsageError(f"no such requirements file: {path}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8: {error}") from None
    if path.name.endswith(".toml"):
        return _read_pylock(path, text, python)
    return _read_requirements(path, text, python)


def _read_requirements(path: Path, text: str, python: PythonFacts) -> Lock:
    pins: dict[str, Pin] = {}
    options: list[str] = []
    problems: list[str] = []
    for number, line in _logical_lines(text):
        try:
            if line.startswith("-"):
                option = _option(line, path.parent)
                options.extend([option] if option else [])
                continue
            pin = _pin(line, python)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        if pin is not None and pin.name in pins:
            problems.append(f"line {number}: {pin.name} is pinned twice for Python {python.version}")
        elif pin is not None:
            pins[pin.name] = pin
    if problems:
        raise _problems(path, problems)
    return Lock(pins=tuple(pins[name] for name in sorted(pins)), options=tuple(options))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, continuations joined, each with the number of its first."""
    joined, start = "", 0
    for number, physical in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", physical).strip()
        start = start if joined else number
        if line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        if joined + line:
            yield start, (joined + line).strip()
        joined = ""
    if joined.strip():
        yield start, joined.strip()


def _option(line: str, folder: Path) -> str | None:
    name, _, value = line.replace("=", " ", 1).partition(" ")
    value = value.strip()
    if name in _IMPLIED:
        return None
    if name not in _SOURCES:
        raise ValueError(f"option not allowed here: {name}")
    if name in ("--find-links", "-f") and "://" not in value and "$" not in value:
        value = str(folder / value)  # relative to the file, wherever pip is started
    return f"{name} {value}".strip()


def _pin(line: str, python: PythonFacts) -> Pin | None:
    """A requirement's pin, or None where its marker leaves the target out. ValueError says what is wrong."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    hashes = [match.group("hash") for match in _HASH.finditer(line)]
    text = _HASH.sub("", line).strip()
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"not a requirement: {text[:100]!r} ({str(error).splitlines()[0]})") from None
    if requirement.marker is not None and not requirement.marker.evaluate(marker_environment(python)):
        return None
    if requirement.url:
        raise ValueError(f"{requirement.name}: a link is not a pin; write name==version with its hash")
    specifiers = list(requirement.specifier)
    exact = len(specifiers) == 1 and specifiers[0].operator == "==" and "*" not in specifiers[0].version
    wrong = [] if exact else ["not pinned with =="]
    found = [match.group(1) for match in map(_SHA256.match, hashes) if match]
    if not found:
        wrong.append("no --hash=sha256:" if not hashes else "no valid --hash=sha256:")
    if wrong:
        raise ValueError(f"{requirement.name}: {', '.join(wrong)}")
    name = canonicalize_name(requirement.name)
    return Pin(name=name, version=specifiers[0].version, sha256=tuple(sorted(set(found))))


def _read_pylock(path: Path, text: str, python: PythonFacts) -> Lock:
    from packaging.pylock import PackageWheel, Pylock, PylockSelectError, PylockValidationError

    try:
        lock = Pylock.from_dict(tomllib.loads(text))
        selected = list(
            lock.select(environment=marker_environment(python), tags=tags(python))  # type: ignore[arg-type]
        )
    except (tomllib.TOMLDecodeError, PylockValidationError, PylockSelectError) as error:
        raise UsageError(f"{path}: {error}", f"the target is Python {python.version}") from None
    pins: list[Pin] = []
    problems: list[str] = []
    for package, file in selected:
        if not isinstance(file, PackageWheel):
            problems.append(f"{package.name}: no wheel for Python {python.version}; only wheels are used")
            continue
        digest = file.hashes.get("sha256", "")
        if not _SHA256.match(f"sha256:{digest}"):
            problems.append(f"{package.name}: no sha256 for {file.filename}")
            continue
        url = file.url or (path.parent / str(file.path)).absolute().as_uri()
        version = str(package.version or file.filename.split("-")[1])
        pins.append(Pin(name=package.name, version=version, sha256=(digest,), url=url))
    if problems:
        raise _problems(path, problems)
    return Lock(pins=tuple(sorted(pins, key=lambda pin: pin.name)))


def _problems(path: Path, problems: list[str]) -> UsageError:
    return UsageError("\n".join([f"{path} cannot be used:", *(f"  {line}" for line in problems)]), HINT)
