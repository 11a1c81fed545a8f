"""Code of the job's own among a project's dependencies: the project itself, and what it takes from elsewhere.

An index has none of it, or a stranger's package of that name: it is never looked for there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from orchestrator.errors import UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.wheel_address import escaped
from orchestrator.launch.locking.requirement_line import applies, parse_line
from orchestrator.launch.locking.sources.found_requirements import FoundRequirements
from orchestrator.launch.locking.sources.pip_file import itself_left_out

if TYPE_CHECKING:
    from packaging.requirements import Requirement

NOT_OF_INDEX = frozenset({"git", "path", "url", "workspace", "file"})  # keys of uv and Poetry
_MOST = 500


def of_no_index(path: Path, name: str) -> UsageError:
    return UsageError(
        f"{path}: {escaped(name)} comes from no package index, or has several versions",
        "code of your own belongs into the source; list what an index has in a requirements.in, and name "
        "that file: reprise lock requirements.in",
    )


def without_itself(
    path: Path, name: str, found: FoundRequirements, of_extra: Callable[[str], Iterable[str]]
) -> FoundRequirements:
    """The same with what `NAME[extra]` of the project itself stands for: `all = ["NAME[train,plot]"]`."""
    lines: list[str] = []
    left_out: dict[str, None] = {}
    seen: set[tuple[str, frozenset[str]]] = set()  # extras, each with the markers under which it is wanted
    waiting = deque((line, frozenset[str]()) for line in found.lines)
    while waiting:
        line, markers = waiting.popleft()
        requirement = _read(line)
        if requirement is None or not name or canonicalize_name(requirement.name) != canonicalize_name(name):
            lines.append(_under(line, requirement, markers))
            continue
        left_out[itself_left_out(name)] = None
        markers |= {str(requirement.marker)} if requirement.marker is not None else set()
        new = {(extra, markers) for extra in requirement.extras} - seen
        seen |= new
        if len(seen) > _MOST:
            raise UsageError(f"{path}: more than {_MOST} extras that include each other")
        waiting += [(one, markers) for extra, _ in sorted(new) for one in of_extra(extra)]
    return FoundRequirements(lines=tuple(lines), limits=found.limits, notes=(*found.notes, *left_out))


def refuse_own_code(
    path: Path, python: PythonFacts, lines: Iterable[str], sources: Mapping[str, Any]
) -> None:
    """UsageError for a package that is asked for, and that the project takes from elsewhere than an index."""
    elsewhere = {canonicalize_name(name): source for name, source in sources.items()}
    for line in lines:
        requirement = _read(line)
        if requirement is None or not _applies(requirement.marker, python):
            continue
        source = elsewhere.get(canonicalize_name(requirement.name))
        for one in source if isinstance(source, list) else [source]:
            if _is_elsewhere(one, python):
                raise of_no_index(path, requirement.name)


def _read(line: str) -> Requirement | None:
    """None for what is no requirement: who locks it says so, with its reason."""
    try:
        return parse_line(line)
    except ValueError:
        return None


def _under(line: str, requirement: Requirement | None, markers: frozenset[str]) -> str:
    """A requirement that holds under these markers, too."""
    from packaging.markers import Marker

    if not markers or requirement is None:
        return line
    own = {str(requirement.marker)} if requirement.marker is not None else set()
    requirement.marker = Marker(" and ".join(f"({one})" for one in sorted(markers | own)))
    return str(requirement)


def _is_elsewhere(source: object, python: PythonFacts) -> bool:
    """Whether a source counts on the target and is no index; one whose marker cannot be understood counts."""
    if not isinstance(source, dict) or not NOT_OF_INDEX & source.keys():
        return False
    marker = source.get("marker", source.get("markers"))  # uv's word, Poetry's
    requirement = _read(f"x; {marker}") if isinstance(marker, str) else None
    return requirement is None or _applies(requirement.marker, python)


def _applies(marker: Any, python: PythonFacts) -> bool:
    try:
        return applies(marker, python)
    except ValueError:
        return True
