"""What a drafted .repriseignore says: data and earlier results, in few lines however many files they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.errors import UsageError
from orchestrator.launch.project_survey.data_beside_code import Surroundings
from orchestrator.launch.project_survey.project_files import ProjectFiles
from orchestrator.spec.source.gitignore import MAX_FILE, MAX_PATTERNS
from orchestrator.spec.source.source_selection import IGNORE_FILE

ALIKE = 100  # files of one folder with one ending that get one pattern
_FIRST = "# What is not source of the job (as in a .gitignore): data, which are inputs, and earlier results."


def ignore_patterns(files: ProjectFiles, surroundings: Surroundings) -> list[str]:
    """UsageError for more than `reprise submit` would read."""
    single = [item.path for item in surroundings.data if not item.folder]
    found = [f"/{_escaped(item.path)}/" for item in surroundings.data if item.folder]
    apart = {item.path for item in surroundings.data}.union(surroundings.results)
    found += _of_files(files, single, apart)
    found += [f"/{_escaped(folder)}/" for folder in surroundings.results]
    if len(found) > MAX_PATTERNS or len(ignore_text(found).encode()) > MAX_FILE:
        raise UsageError(
            f"{files.folder} has {len(found):,} files and folders of data among its code, more than a "
            f"{IGNORE_FILE} can name",
            "move them into a folder of their own, such as data/",
        )
    return found


def ignore_text(patterns: Iterable[str]) -> str:
    return "\n".join([_FIRST, *patterns]) + "\n"


def _of_files(files: ProjectFiles, paths: Iterable[str], apart: set[str]) -> Iterator[str]:
    """One pattern for each file, or for all in a folder that end alike; what is not `apart` is kept."""
    groups: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        groups.setdefault(_group(path), []).append(path)
    alike = {group for group, some in groups.items() if len(some) >= ALIKE and group[1]}
    kept: dict[tuple[str, str], list[str]] = {group: [] for group in alike}
    for path in (*files.sizes, *files.folders) if alike else ():
        if _group(path) in alike and path not in apart:
            kept[_group(path)].append(path)
    for group, some in groups.items():
        others = sorted(kept.get(group, ()))
        if group in alike and len(others) < len(some):
            yield f"/{_escaped(group[0])}*{_escaped(group[1])}"
            yield from (f"!/{_escaped(path)}" for path in others)
        else:
            yield from (f"/{_escaped(path)}" for path in some)


def _group(path: str) -> tuple[str, str]:
    """The folder with its slash, and the ending with its point; none for a name that has none."""
    above, slash, name = path.rpartition("/")
    stem, point, ending = name.rpartition(".")
    return above + slash, point + ending if stem else ""


def _escaped(path: str) -> str:
    for letter in "\\*?[":
        path = path.replace(letter, f"\\{letter}")
    end = len(path) - len(path.rstrip(" "))
    return path[: len(path) - end] + "\\ " * end
