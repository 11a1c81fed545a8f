"""Reads what people write for pip: requirements.txt, requirements.in.

`-r` and `-c` are followed inside the file's folder. Options that say where packages come from are left out,
with a note: that is for this box's pip configuration to say, not for a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.image.wheels.requirements_file import LINE_HASH, logical_lines
from orchestrator.image.wheels.wheel_address import check_characters, escaped, quoted
from orchestrator.launch.locking.requirement_line import MAX_LINES, parse_line
from orchestrator.launch.locking.sources.found_requirements import (
    MAX_FILE,
    FoundRequirements,
    place_inside,
    text_of,
)
from orchestrator.spec.plain_file import read_plain

_MAX_FILES = 20  # that refer to each other
_MAX_PROBLEMS = 50
_OPTION = re.compile(r"(?P<name>--[A-Za-z][A-Za-z-]*|-[A-Za-z])[= ]?(?P<value>.*)")
_OTHERS = ("-r", "--requirement", "-c", "--constraint")
_PLACES = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host", "--no-index")
_NEEDLESS = ("--require-hashes", "--prefer-binary", "--only-binary", "--no-binary", "--use-feature")
_PRE = "--pre is left out: a pre-release is taken where a version names one, such as >=2.0rc1"
_ITSELF = re.compile(r"\./?(?:\[(?P<extras>[A-Za-z0-9,_. -]*)\])?/?\Z")


def read_pip_file(path: Path) -> FoundRequirements:
    """UsageError with every line that cannot be read, and its number."""
    reader = _Reader(path.parent.resolve())
    reader.read(path.parent.resolve() / path.name, limits=False)
    return reader.found(path)


def read_pip_entries(path: Path, entries: Iterable[tuple[int, str]]) -> FoundRequirements:
    """The same of lines for pip that stand in a file of another form, each with its line there."""
    reader = _Reader(path.parent.resolve())
    place = path.parent.resolve() / path.name
    reader.take(place, ((number, line) for number, text in entries for _, line in logical_lines(text)), False)
    return reader.found(path)


def itself_left_out(name: str) -> str:
    return f"{escaped(name)} is the job's own source, and is not installed"


class _Reader:
    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self.limits: list[str] = []
        self.notes: list[str] = []
        self.itself: list[str] = []
        self.problems: list[str] = []
        self._folder = folder
        self._files: set[tuple[Path, bool]] = set()  # with whether they are read as limits

    def read(self, path: Path, limits: bool) -> None:
        if (path, limits) in self._files:
            return
        self._files.add((path, limits))
        if len(self._files) > _MAX_FILES:
            self.problems.append(f"more than {_MAX_FILES} files that refer to each other")
            return
        self.take(path, logical_lines(text_of(read_plain(path, MAX_FILE))), limits)

    def take(self, path: Path, lines: Iterable[tuple[int, str]], limits: bool) -> None:
        """Lines of a file, with their numbers in it."""
        for number, line in lines:
            if len(self.lines) + len(self.limits) > MAX_LINES or len(self.problems) >= _MAX_PROBLEMS:
                self.problems.append("and perhaps more")
                return
            try:
                self._take(line, path, limits)
            except ValueError as error:
                self.problems.append(f"{escaped(path.name)}, line {number}: {error}")

    def found(self, path: Path) -> FoundRequirements:
        if self.problems:
            raise UsageError("\n".join([f"{path} cannot be locked:", *(f"  {one}" for one in self.problems)]))
        return FoundRequirements(
            lines=tuple(self.lines),
            limits=tuple(self.limits),
            notes=tuple(dict.fromkeys(self.notes)),
            itself=tuple(dict.fromkeys(self.itself)),
        )

    def _take(self, line: str, path: Path, limits: bool) -> None:
        """ValueError: a line that cannot be followed."""
        check_characters(line)
        if line.startswith("-"):
            self._option(line, path, limits)
        elif (itself := _ITSELF.match(line)) is not None:
            self._itself(itself)
        else:
            text = LINE_HASH.sub("", line).strip()
            parse_line(text)
            (self.limits if limits else self.lines).append(text)

    def _option(self, line: str, path: Path, limits: bool) -> None:
        match = _OPTION.match(line)
        name, value = (match["name"], match["value"].strip()) if match else (line, "")
        if name in _OTHERS:
            other = place_inside(self._folder, path.parent / value) if value else None
            if other is None:
                raise ValueError(f"{quoted(value)} does not lie in {self._folder}")
            self.read(other, limits or name in ("-c", "--constraint"))
        elif name in _PLACES:
            self.notes.append(
                f"{escaped(path.name)}: {name} is left out: packages come from where this box's pip looks "
                "(pip config list)"
            )
        elif name in ("-e", "--editable") and (itself := _ITSELF.match(value)) is not None:
            self._itself(itself)
        elif name in ("-e", "--editable"):
            raise ValueError(f"{quoted(value)}: code of your own belongs into the source, not among packages")
        elif name == "--pre":
            self.notes.append(f"{escaped(path.name)}: {_PRE}")
        elif name not in _NEEDLESS:
            raise ValueError(f"not an option that can be followed: {escaped(name)}")

    def _itself(self, found: re.Match[str]) -> None:
        self.notes.append(itself_left_out(found[0]))
        self.itself += ["", *(name.strip() for name in (found["extras"] or "").split(",") if name.strip())]
