"""Finds the files that list packages, the job file with its base, and where the lock goes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.wheel_address import quoted
from orchestrator.launch.locking.sources.conda_file import read_conda_file
from orchestrator.launch.locking.sources.found_requirements import (
    MAX_FILE,
    FoundRequirements,
    place_inside,
    text_of,
)
from orchestrator.launch.locking.sources.pip_file import read_pip_file
from orchestrator.launch.locking.sources.project_file import (
    made_by_program,
    read_pyproject,
    read_setup_cfg,
    read_toml,
)
from orchestrator.spec.jobfile.job_paths import source_root
from orchestrator.spec.jobfile.read_job import FILE_NAME
from orchestrator.spec.jobfile.strict_yaml import MAX_SIZE, read_yaml
from orchestrator.spec.plain_file import read_plain
from orchestrator.value import Value

LOCK_NAME = "requirements.lock"
ADDED = "requirements.in"  # read beside any other file: what a person adds to it

_CONDA = ("environment.yml", "environment.yaml", "conda.yml", "conda.yaml")
_LOCKED_ALREADY = ("uv.lock", "pylock.toml")
_MADE_HERE = b"# Locked by `reprise lock`"
_FROM = re.compile(r"# Locked by `reprise lock` from (?P<names>[A-Za-z0-9._/ ,-]+) for Python ")


class LockSources(Value):
    """What is read, and what is written."""

    files: tuple[Path, ...]
    output: Path
    base: str | None  # as the job file names it
    job_file: Path | None
    named: bool  # the job file has the output as its requirements


def find_sources(path: Path, output: Path | None) -> LockSources:
    """For a folder, a job file, or a file that lists packages. UsageError: nothing to lock."""
    if path.is_dir():
        folder, job, asked = path, path / FILE_NAME, None
    elif path.exists() and path.suffix in (".yaml", ".yml") and "command" in _mapping(path):
        folder, job, asked = path.parent, path, None
    elif path.exists():
        folder, job, asked = path.parent, path.parent / FILE_NAME, path
    else:
        raise UsageError(f"there is no {path}", "name a folder, a job file, or a file that lists packages")
    said = _mapping(job) if job.is_file() else {}
    required = said.get("requirements")
    required_path = _required_path(folder, required) if isinstance(required, str) else None
    target = output or _output(folder, required_path)
    files = (asked,) if asked is not None else tuple(_found(folder, target, required_path))
    if not files:
        raise UsageError(
            f"{folder} has no file that lists packages",
            f"write the packages into {folder / ADDED}, one to a line; or name the file",
        )
    base = said.get("base")
    return LockSources(
        files=files,
        output=target,
        base=base if isinstance(base, str) else None,
        job_file=job if job.is_file() else None,
        named=required_path is not None and _same(required_path, target),
    )


def _required_path(folder: Path, required: str) -> Path:
    """Where a job file has its lock. UsageError: outside of its source, where a job file may not point."""
    root = source_root(folder.resolve())
    if place_inside(root, folder / required) is None:
        raise UsageError(
            f"{folder / FILE_NAME}: requirements: {quoted(required)} leads outside {root}",
            "write a path in the job file's folder, or name another file with --output",
        )
    return folder / required


def read_sources(
    sources: LockSources, python: PythonFacts, extras: Sequence[str], groups: Sequence[str]
) -> FoundRequirements:
    """All that the files ask for. UsageError with the file and the line of what cannot be read."""
    if (extras or groups) and not any(path.suffix in (".toml", ".cfg") for path in sources.files):
        raise UsageError(
            f"{', '.join(map(str, sources.files))}: has no extras or groups to choose from",
            "leave --extra and --group out; a pyproject.toml or setup.cfg has them",
        )
    found = FoundRequirements()
    for path in sources.files:
        found = found.and_more(_read(path, python, extras, groups))
    if found.itself and not any(path.suffix in (".toml", ".cfg") for path in sources.files):
        found = found.and_more(_of_itself(sources.files[0].parent, python, found.itself))
    return found


def _of_itself(folder: Path, python: PythonFacts, extras: Sequence[str]) -> FoundRequirements:
    """What the project itself needs, where a file asks for it (`-e .[dev]`): pip installs that, too."""
    project, setup = folder / "pyproject.toml", folder / "setup.cfg"
    names = tuple(filter(None, extras))
    try:
        if _has_dependencies(project):
            return read_pyproject(project, python, names)
        if setup.is_file():
            return read_setup_cfg(setup, python, names)
    except UsageError as error:
        return FoundRequirements(notes=(f"what the project itself needs is not locked: {error.message}",))
    why = f"no pyproject.toml or setup.cfg in {folder} says what that is"
    return FoundRequirements(notes=(f"what the project itself needs is not locked: {why}",))


def is_locked(path: Path) -> bool:
    """Whether a requirements file has hashes, says that `reprise lock` made it, or is another tool's lock."""
    if path.name in _LOCKED_ALREADY or re.fullmatch(r"pylock\.[^.]+\.toml", path.name):
        return True
    if path.suffix == ".toml":
        return False
    data = read_plain(path, MAX_FILE * 4, named=True)
    return data.startswith(_MADE_HERE) or b"--hash=sha256:" in data  # a lock may have no package at all


def _read(path: Path, python: PythonFacts, extras: Sequence[str], groups: Sequence[str]) -> FoundRequirements:
    if path.name in _LOCKED_ALREADY:
        raise UsageError(
            f"{path} is locked already",
            f"write `requirements: {path.name}` into the job file: it is taken as it is",
        )
    if path.name == "setup.py":
        raise UsageError(
            f"{path} is a program, and is not run", f"write the packages into {path.parent / ADDED}"
        )
    if path.suffix in (".py", ".ipynb"):
        raise UsageError(f"{path} does not list packages", f"reprise init {path} looks for what it imports")
    if path.suffix in (".yml", ".yaml"):
        return read_conda_file(path, python)
    if path.suffix == ".toml":
        return read_pyproject(path, python, extras, groups)
    if path.suffix == ".cfg":
        return read_setup_cfg(path, python, extras)
    return read_pip_file(path)


def _mapping(path: Path) -> dict[str, Any]:
    """The top of a YAML file, as far as it can be read: `reprise submit` tells its mistakes."""
    root, _ = read_yaml(text_of(read_plain(path, MAX_SIZE, named=True)), str(path))
    top = root.value if root is not None and isinstance(root.value, dict) else {}
    return {key: node.value for key, node in top.items()}


def _output(folder: Path, required: Path | None) -> Path:
    """The lock that the job file names, or is to name."""
    if required is None or required.suffix in (".toml", ".yml", ".yaml", ".cfg", ".py", ".in"):
        return folder / LOCK_NAME
    return required if not required.exists() or is_locked(required) else folder / LOCK_NAME


def _found(folder: Path, output: Path, required: Path | None) -> Iterable[Path]:
    """What the lock was made from before, else the first kind of file that is there; with requirements.in."""
    files = [path for path in _recorded(output) if path.is_file()]
    if not files and required is not None and required.is_file() and not is_locked(required):
        files = [required]
    if not files:
        files = list(_first(folder))
    added = folder / ADDED
    if added.is_file() and not any(_same(added, path) for path in files):
        files.append(added)
    return files


def _recorded(output: Path) -> list[Path]:
    if not output.is_file():
        return []
    with output.open("rb") as stream:
        match = _FROM.match(stream.readline(4096).decode("utf-8", "replace"))
    names = match["names"].split(", ") if match is not None else []
    return [output.parent / name for name in names if ".." not in name and not name.startswith("/")]


def _first(folder: Path) -> Iterable[Path]:
    plain = folder / "requirements.txt"
    if plain.is_file() and not is_locked(plain):
        yield plain
    elif _has_dependencies(folder / "pyproject.toml"):
        yield folder / "pyproject.toml"
    elif (folder / "setup.cfg").is_file() and b"install_requires" in read_plain(
        folder / "setup.cfg", MAX_FILE
    ):
        yield folder / "setup.cfg"
    elif not (folder / ADDED).is_file():
        yield from [path for name in _CONDA if (path := folder / name).is_file()][:1]


def _has_dependencies(path: Path) -> bool:
    if not path.is_file():
        return False
    table = read_toml(path)
    tool = table.get("tool")
    project, poetry = table.get("project"), tool.get("poetry") if isinstance(tool, dict) else None
    if isinstance(project, dict) and made_by_program(project):
        return True
    return any(isinstance(one, dict) and one.get("dependencies") for one in (project, poetry))


def _same(one: Path, two: Path) -> bool:
    return one.resolve() == two.resolve()
