"""Reads one requirement, strictly: a name, extras, versions; the resolver gets it written anew from these.

A requirement may come from anybody. No options, addresses, paths or variables are taken, and no text of it
goes to another program unchecked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.lock import CanonicalName
from orchestrator.image.wheels.wheel_address import check_characters, escaped, quoted
from orchestrator.image.wheels.wheel_target import marker_environment
from orchestrator.value import Value

if TYPE_CHECKING:
    from packaging.markers import Marker
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

MAX_LINE = 4096  # characters of a requirement
MAX_LINES = 5000  # requirements of one file; the largest known has some 600
MAX_PROBLEMS = 50

_SPECIFIER = re.compile(r"(==|!=|<=|>=|<|>|~=)[0-9][0-9A-Za-z.*+!_-]*", re.ASCII)
_ONE_EQUALS = re.compile(r"^[^;@]*[A-Za-z0-9\] ]=[ ]*[0-9]")
_LINE = re.compile(
    r"[a-z0-9]+(-[a-z0-9]+)*(\[[a-z0-9]+(-[a-z0-9]+)*(,[a-z0-9]+(-[a-z0-9]+)*)*\])?"
    r"((==|!=|<=|>=|<|>|~=)[0-9][0-9A-Za-z.*+!_-]*,?)*",
    re.ASCII,
)


class RequestedPackage(Value):
    """A package that somebody asks for, on the target."""

    name: CanonicalName
    extras: tuple[str, ...] = ()  # canonical, sorted
    specifier: str = ""  # as packaging writes it, sorted; empty: any version

    @property
    def versions(self) -> SpecifierSet:
        from packaging.specifiers import SpecifierSet

        return SpecifierSet(self.specifier)

    def takes(self, version: str) -> bool:
        """Whether this version fits. A base has pre-releases where its maker chose them, so they count."""
        return self.versions.contains(version, prereleases=True)

    def line(self) -> str:
        """The requirement, made of its checked parts."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        text = f"{self.name}{extras}{self.specifier}"
        if _LINE.fullmatch(text) is None:
            raise UsageError(f"not a requirement that is taken: {quoted(text)}")
        return text


def read_line(text: str, python: PythonFacts) -> RequestedPackage | None:
    """A requirement as PEP 508 writes it; None where its marker excludes the target. ValueError: not one."""
    requirement = parse_line(text)
    if not applies(requirement.marker, python):
        return None
    if requirement.url:
        raise ValueError(
            f"{escaped(requirement.name)}: comes from an address; only packages of an index can be locked "
            "(code of your own belongs into the source)"
        )
    return _wanted(requirement.name, requirement.extras, [str(one) for one in requirement.specifier])


def parse_line(text: str) -> Requirement:
    """The requirement that a text is, for whatever target. ValueError: not one."""
    from packaging.requirements import InvalidRequirement, Requirement

    if len(text) > MAX_LINE:
        raise ValueError(f"too long for a requirement: {quoted(text)}")
    check_characters(text)
    if text.lstrip().startswith("-"):
        raise ValueError(f"an option, not a requirement: {quoted(text.strip())}")
    try:
        return Requirement(text)
    except (InvalidRequirement, RecursionError, ValueError) as error:
        why = "one version is written with ==" if _ONE_EQUALS.search(text) else _reason(error)
        raise ValueError(f"not a requirement: {quoted(text)} ({why})") from None


def applies(marker: Marker | None, python: PythonFacts) -> bool:
    """Whether a marker includes the target. ValueError for one that cannot be evaluated."""
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName

    if marker is None:
        return True
    try:
        return marker.evaluate(marker_environment(python))
    except (UndefinedComparison, UndefinedEnvironmentName, RecursionError, ValueError) as error:
        raise ValueError(
            f"a marker that cannot be evaluated: {quoted(str(marker))} ({_reason(error)})"
        ) from None


def _wanted(name: str, extras: set[str], specifiers: list[str]) -> RequestedPackage:
    from packaging.utils import canonicalize_name

    for text in specifiers:
        if _SPECIFIER.fullmatch(text) is None:
            raise ValueError(f"{escaped(name)}: not versions that are taken: {quoted(text)}")
    try:
        found = RequestedPackage(
            name=canonicalize_name(name),
            extras=tuple(sorted({canonicalize_name(extra) for extra in extras})),
            specifier=",".join(sorted(specifiers)),
        )
        found.line()
    except (ValueError, UsageError):
        raise ValueError(f"not a package's name: {quoted(name)}") from None
    return found


def _reason(error: Exception) -> str:
    return escaped((str(error).splitlines() or [type(error).__name__])[0])
