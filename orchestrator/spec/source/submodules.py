"""Submodules: repositories inside a repository, whose files are source too.

A submodule keeps its data in the repository around it or in its own folder. A `.git` that leads elsewhere is
refused: that repository could be anybody's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.spec.source import git_folder
from orchestrator.spec.source.commit_tree import TreeEntry, blob_at, list_commit
from orchestrator.spec.source.git import MAX_PATCH, Repository
from orchestrator.spec.source.git_folder import GitFolder
from orchestrator.spec.source.git_listing import SUBMODULE, Listing
from orchestrator.spec.source.source_selection import IGNORE_FILE, Selection
from orchestrator.spec.source.source_tree import GitState

_MOST = 1000
_MEND = f"git submodule update --init --recursive, or name it in {IGNORE_FILE}"


@dataclass(frozen=True)
class WorkTreePart:
    """A repository of a work tree: the outermost one, or a submodule."""

    repository: Repository
    path: str  # from the source's folder, with `/` at its end; empty for the outermost
    listing: Listing
    around: WorkTreePart | None = None

    def names(self) -> frozenset[str]:
        own = self.listing.tracked | self.listing.untracked
        return frozenset(self.path + name for name in own) if self.path else own


def work_tree(stack: ExitStack, repository: Repository, selection: Selection) -> list[WorkTreePart]:
    """A repository, then every submodule in it that is source. UsageError: one is not checked out."""
    parts: list[WorkTreePart] = []
    waiting = [WorkTreePart(repository, "", repository.listing())]
    for part in waiting:
        parts.append(part)
        selection.read_patterns(part.names())
        for name in sorted(part.listing.submodules):
            path = f"{part.path}{name}/"
            if not selection(path):
                continue
            if len(waiting) > _MOST:
                raise UsageError(f"{selection.folder} has more than {_MOST} submodules")
            folder = selection.folder / path
            there = _checked_out(folder, repository.there)
            inner = stack.enter_context(Repository(folder, there, _prefix(part.repository, name)))
            waiting.append(WorkTreePart(inner, path, inner.listing(), part))
    return parts


def _prefix(around: Repository, name: str) -> str:
    """The path of a submodule from the top of the outermost repository, for patches."""
    if around.prefix or around.there.top is None:
        return f"{around.prefix}{name}/"
    above = os.path.relpath(around.folder.resolve(), around.there.top)
    return f"{name}/" if above == "." else f"{above}/{name}/"


def _checked_out(folder: Path, outer: GitFolder) -> GitFolder:
    there = git_folder.at(folder)
    if there is None:
        raise UsageError(f"{folder} is a submodule that is not checked out", _MEND)
    _check_place(folder, there, outer)
    return there


def _check_place(folder: Path, there: GitFolder, outer: GitFolder) -> None:
    homes = [home for home in (outer.top, outer.own, outer.common) if home is not None]
    for place in (there.own, there.common):
        if not any(place.is_relative_to(home) for home in homes):
            raise UsageError(
                f"the submodule {folder} keeps its repository elsewhere: {place}",
                "clone it again, or name it in .repriseignore",
            )


def state(parts: list[WorkTreePart], selection: Selection) -> tuple[GitState | None, tuple[str, ...]]:
    """The state of a work tree with its submodules, and notes.

    Before the first commit there is no state, and the notes name the commits of the submodules.
    """
    outer, *inner = parts
    outermost = outer.repository.state(outer.listing, selection)
    states: dict[str, GitState] = {}
    for part in inner:
        found = part.repository.state(part.listing, _below(selection, part.path))
        if found is None:
            raise UsageError(f"the submodule {part.repository.folder} has no commit", _MEND)
        states[part.path] = found
    if outermost is None:
        return None, tuple(
            f"the submodule {path.rstrip('/')} is at commit {found.commit}, and the repository has none yet"
            for path, found in states.items()
        )
    if not states:
        return outermost, ()
    patches = [_patch_of(outermost)]
    for part in inner:
        patches += [_submodule_patch(part, outermost, states), _patch_of(states[part.path])]
    dirty = outermost.dirty or any(patch != b"" for patch in patches)
    patch = _joined(patches) if dirty else None
    update = {
        "submodules": {path.rstrip("/"): found.commit for path, found in states.items()},
        "dirty": dirty,
        "patch": patch,
        "patch_digest": Digest.of(patch) if patch is not None else None,
    }
    return outermost.model_copy(update=update), ()


def _below(selection: Selection, path: str) -> Callable[[str], bool]:
    return lambda name: selection(path + name)


def _patch_of(found: GitState) -> bytes | None:
    """Empty for a clean work tree; None for a patch that is too long to keep."""
    return found.patch if found.dirty else b""


def _joined(patches: list[bytes | None]) -> bytes | None:
    known = [patch for patch in patches if patch is not None]
    return b"".join(known) if len(known) == len(patches) and sum(map(len, known)) <= MAX_PATCH else None


def _submodule_patch(part: WorkTreePart, outermost: GitState, states: dict[str, GitState]) -> bytes:
    """The patch, in git's form, for a submodule at another commit than the repository around it names."""
    around = part.around
    if around is None:
        return b""
    name = part.path.removeprefix(around.path).rstrip("/")
    commit = states[around.path].commit if around.path else outermost.commit
    before = around.repository.submodule_at(commit, name)
    after = states[part.path].commit
    if before == after:
        return b""
    path = part.repository.prefix.rstrip("/")
    zeros = "0" * len(after)
    lines = [f"diff --git a/{path} b/{path}"]
    lines += (
        [f"index {before}..{after} 160000"] if before else ["new file mode 160000", f"index {zeros}..{after}"]
    )
    lines += [f"--- a/{path}" if before else "--- /dev/null", f"+++ b/{path}"]
    lines += ["@@ -1 +1 @@", f"-Subproject commit {before}"] if before else ["@@ -0,0 +1 @@"]
    return os.fsencode("\n".join([*lines, f"+Subproject commit {after}", ""]))


@dataclass(frozen=True)
class CommittedFile:
    """A file or link of a commit, and the repository that has it."""

    repository: Repository
    entry: TreeEntry  # with its path from the source's folder


def committed(
    stack: ExitStack, repository: Repository, commit: str, selection: Selection
) -> tuple[list[CommittedFile], dict[str, str]]:
    """All source of a commit with its submodules, and the commit of each submodule by its path."""
    found: list[CommittedFile] = []
    submodules: dict[str, str] = {}
    waiting = [(repository, commit, "")]
    for inner, at, path in waiting:
        entries = [
            TreeEntry(path + entry.path, entry.mode, entry.object_id, entry.size)
            for entry in list_commit(inner, at)
        ]
        for entry in sorted(entries, key=lambda entry: entry.path):
            if entry.path.rpartition("/")[2] == IGNORE_FILE and entry.mode.startswith(b"100"):
                selection.add_patterns(entry.path, blob_at(inner, entry))
        for entry in entries:
            if entry.mode != SUBMODULE:
                found.append(CommittedFile(inner, entry))
            elif selection(f"{entry.path}/"):
                wanted = entry.object_id.decode()
                submodules[entry.path] = wanted
                if len(submodules) > _MOST:
                    raise UsageError(f"commit {commit} has more than {_MOST} submodules")
                folder = selection.folder / entry.path
                there = _find_submodule(inner, at, folder, entry.path.removeprefix(path), repository.there)
                place = folder if there.top is not None else there.own
                nested = stack.enter_context(Repository(place, there))
                _check_commit(nested, wanted, folder)
                waiting.append((nested, wanted, f"{entry.path}/"))
    return found, submodules


def _check_commit(repository: Repository, commit: str, folder: Path) -> None:
    try:
        repository.commit_of(commit)
    except UsageError:
        raise UsageError(f"the submodule {folder} has no commit {commit}", _MEND) from None


def _find_submodule(inner: Repository, commit: str, folder: Path, path: str, outer: GitFolder) -> GitFolder:
    """A submodule's repository: that of its checked-out folder, or the one that git keeps in `modules/`."""
    there = git_folder.at(folder)
    if there is None:
        name = inner.submodule_name(commit, path)
        places = (inner.there.own / "modules" / name, inner.there.common / "modules" / name)
        there = next((found for place in places if (found := git_folder.bare(place)) is not None), None)
    if there is None:
        raise UsageError(f"{folder} is a submodule whose repository is not here", _MEND)
    _check_place(folder, there, outer)
    return there
