"""Checks the paths and globs of a job file: where they may point, and what must exist."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.spec.follow_links import follow_links
from orchestrator.spec.globs import glob_problem
from orchestrator.spec.jobfile.input_reference import read_reference
from orchestrator.spec.jobfile.problem_collector import Collector
from orchestrator.spec.jobfile.problems import KeyPath, shorten
from orchestrator.spec.jobfile.short_forms import table_in

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[^/\s]+@[^/\s]+:")
_SEEN_FROM = "paths are seen from the job file's folder"
_BASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z|[^\s@]+@sha256:[0-9a-f]{64}\Z")


def resolve_places(data: dict[str, Any], folder: Path, found: Collector) -> None:
    """Makes the paths in `data` absolute, seen from `folder`, and checks them and the globs.

    Code and requirements must lie in the job file's folder or in the git repository around it, so that a
    copy of it runs elsewhere. Inputs may lie anywhere: their bytes are checked.
    """
    real = folder.resolve()
    root = source_root(real)
    _source(data, real, root, found)
    _requirements(data, real, root, found)
    _inputs(data, real, found)
    _globs(data, found)
    base = data.get("base")
    if isinstance(base, str) and not _BASE.match(base):
        hint = "write the name of a base, such as cpu or cuda, or REPOSITORY@sha256:..."
        found.add(("base",), f"{shorten(base)!r} is not pinned by digest", hint)


def source_root(folder: Path) -> Path:
    """The git repository around a folder that is no link, else the folder itself."""
    return next(
        (place for place in (folder, *folder.parents) if _passes(Path.exists, place / ".git")), folder
    )


def _source(data: dict[str, Any], folder: Path, root: Path, found: Collector) -> None:
    source = data.get("source")
    if not isinstance(source, dict):
        return
    text = source.get("git", source.get("path"))
    is_git = "git" in source  # a commit of any local repository, wherever it lies
    if is_git:
        if "path" in source:
            found.add(("source",), "names both a path and a git repository", "one of them is enough")
        elif source.get("commit") is None:
            found.add(("source", "git"), "needs a commit", "add commit, or write path for a folder as it is")
        source["path"] = source.pop("git")
    if not isinstance(text, str):
        return
    path: KeyPath = ("source",)
    if _REMOTE.match(text):
        found.add(path, f"{_without_secrets(text)} is not on this machine", "clone it, and name the folder")
        return
    place = _resolved(text, folder) if is_git else _inside(text, folder, root, path, found)
    if place is not None and _passes(Path.is_dir, place):
        source["path"] = str(place)
    elif not found.covers(path):
        found.add(path, f"there is no folder {_shown(place) or shorten(text)}", _hint(text))


def _requirements(data: dict[str, Any], folder: Path, root: Path, found: Collector) -> None:
    text = data.get("requirements")
    if not isinstance(text, str):
        return
    place = _inside(text, folder, root, ("requirements",), found)
    if place is not None and not _passes(Path.is_file, place):
        how = f"{_SEEN_FROM}; `reprise lock` writes a lock" if place.suffix == ".lock" else _hint(text)
        found.add(("requirements",), f"there is no file {_shown(place)}", how)
    elif place is not None:
        data["requirements"] = str(place)


def _inputs(data: dict[str, Any], folder: Path, found: Collector) -> None:
    for name, item in table_in(data, "inputs").items():
        text = item.get("path") if isinstance(item, dict) else None
        if not isinstance(text, str) or _is_reference(text, ("inputs", name), found):
            continue
        if _REMOTE.match(text):
            message = f"{_without_secrets(text)} is not on this machine"
            found.add(("inputs", name), message, "download it, and name the file or folder")
            continue
        place = _resolved(text, folder) if text else None
        if place is None or not (_passes(Path.is_dir, place) or _passes(Path.is_file, place)):
            message = f"there is no file or folder {_shown(place) or shorten(text) or 'of no name'}"
            found.add(("inputs", name), message, _hint(text, f"--input {shorten(name)}=…"))
        else:
            item["path"] = str(place)


def _shown(place: Path | None) -> str:
    return "" if place is None else shorten(str(place), 300)


def _hint(text: str, option: str = "") -> str:
    """For a path that leads nowhere: how paths are read."""
    if "$" not in text:
        return _SEEN_FROM
    return "variables are not filled in: write the path" + (f", or give it: {option}" if option else "")


def _is_reference(text: str, path: KeyPath, found: Collector) -> bool:
    """Whether an input is looked up in the record. One of a wrong form counts, and is reported."""
    try:
        return read_reference(text) is not None
    except ValueError as error:
        hint = f"a path that begins so is written ./{shorten(text)}"
        found.add(path, f"{shorten(text)} {error}", hint)
        return True


def _passes(test: Callable[[Path], bool], place: Path) -> bool:
    """Whether a path passes a test; False after an OSError (too long, not permitted)."""
    try:
        return test(place)
    except OSError:
        return False


def _resolved(text: str, folder: Path) -> Path | None:
    """A path, wherever it lies; None where it cannot be resolved (a loop of links, an unknown `~user`)."""
    try:
        return follow_links(folder / Path(text).expanduser())
    except (OSError, RuntimeError):
        return None


def _inside(text: str, folder: Path, root: Path, path: KeyPath, found: Collector) -> Path | None:
    """A path under `root`, links followed; None, and a problem, for any other."""
    if not text or Path(text).is_absolute() or text.startswith("~"):
        found.add(
            path, f"{shorten(text)!r} is not a relative path", "write it as seen from the job file's folder"
        )
        return None
    place = _resolved(text, folder)
    if place is None or not place.is_relative_to(root):
        hint = "it must lie in the job file's folder, or in the git repository around it"
        found.add(path, f"{shorten(text)!r} leads outside {root}", hint)
        return None
    return place


def _without_secrets(url: str) -> str:
    return shorten(re.sub(r"//[^/@]*@", "//", url))


def _globs(data: dict[str, Any], found: Collector) -> None:
    outputs = data.get("outputs")
    for number, glob in enumerate(outputs) if isinstance(outputs, list) else ():
        _glob(glob, ("outputs", number), found)
    _glob(data.get("metrics"), ("metrics",), found)
    for glob in table_in(table_in(data, "tolerance"), "outputs"):
        _glob(glob, ("tolerance", "outputs", glob), found)


def _glob(glob: object, path: KeyPath, found: Collector) -> None:
    """Reports a glob that `glob_problem` refuses, such as one that leads out of the working directory."""
    if not isinstance(glob, str) or found.covers(path):
        return
    problem = glob_problem(glob)
    if problem is not None:
        found.add(path, f"{shorten(glob)!r} {problem[0]}", problem[1])
