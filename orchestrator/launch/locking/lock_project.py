"""`reprise lock`: from a project's files to its lock, written or checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from orchestrator.disk_room import FULL, nearest_folder
from orchestrator.durable import write_bytes
from orchestrator.errors import UsageError
from orchestrator.image.wheels.read_lock import read_lock
from orchestrator.launch.locking.base_clashes import LockError
from orchestrator.launch.locking.lock_requirements import LockedRequirements, lock_requirements
from orchestrator.launch.locking.lock_target import LockTarget, lock_target
from orchestrator.launch.locking.sources.project_sources import (
    LockSources,
    find_sources,
    is_locked,
    read_sources,
)
from orchestrator.settings import Settings
from orchestrator.typed_path import refuse_closed
from orchestrator.value import Value

_PLAIN_NAME = re.compile(r"[A-Za-z0-9._/-]+", re.ASCII)


class LockRequest(Value):
    path: Path  # a folder, a job file, or a file that lists packages
    base: str | None = None
    output: Path | None = None
    upgrade: bool = False  # newest versions; else those of the lock that is there are kept
    check: bool = False  # write nothing: LockError where the lock is not what its files ask for
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class LockedProject(Value):
    sources: LockSources
    base: str
    locked: LockedRequirements
    notes: tuple[str, ...]
    changed: bool  # the lock was written, or would be


def lock_project(settings: Settings, request: LockRequest) -> LockedProject:
    """Read, resolve, and write the lock whole or not at all. Errors as of `lock_requirements`."""
    sources = find_sources(request.path, request.output)
    _refuse_other_file(sources)
    if not request.check:
        refuse_closed(nearest_folder(sources.output.absolute().parent))
    target = lock_target(settings, request.base or sources.base)
    found = read_sources(sources, target.python, request.extras, request.groups)
    before = {} if request.upgrade and not request.check else _before(sources.output, target)
    locked = lock_requirements(
        found.lines,
        target,
        limits=found.limits,
        before=before,
        cache=settings.wheels / "index",
        made_from=_names(sources),
    )
    data = locked.text.encode()
    changed = not sources.output.is_file() or sources.output.read_bytes() != data
    if request.check and changed:
        named = ", ".join(str(path) for path in sources.files)
        raise LockError(
            f"{sources.output} is not what {named} asks for on the base {target.base}", "run: reprise lock"
        )
    if changed:
        _write(sources.output, data)
    return LockedProject(
        sources=sources,
        base=target.base,
        locked=locked,
        notes=(*found.notes, *locked.notes),
        changed=changed,
    )


def _write(output: Path, data: bytes) -> None:
    try:
        write_bytes(output, data)
    except OSError as error:
        if error.errno in FULL:
            raise
        raise UsageError(
            f"cannot write {output}: {error.strerror}", "name another file with --output"
        ) from error


def _refuse_other_file(sources: LockSources) -> None:
    """UsageError where the output is a file that somebody wrote by hand."""
    output = sources.output
    if any(output.resolve() == path.resolve() for path in sources.files):
        raise UsageError(f"{output} is what is to be locked", "name another file with --output")
    if output.exists() and not output.is_file():  # a device would be replaced, /dev/null among them
        raise UsageError(f"{output} is not a plain file", "name another file with --output")
    if output.exists() and output.stat().st_size and not is_locked(output):
        raise UsageError(f"{output} is there, and is not a lock", "name another file with --output")


def _before(output: Path, target: LockTarget) -> Mapping[str, str]:
    if not output.is_file() or not output.stat().st_size:
        return {}
    try:
        return {pin.name: pin.version for pin in read_lock(output, target.python).pins}
    except UsageError as error:  # a conflict of git in it, or a hand's edit
        raise UsageError(error.message, "reprise lock --upgrade makes it anew") from error


def _names(sources: LockSources) -> tuple[str, ...]:
    """The files as seen from the lock; none where one lies elsewhere."""
    folder = sources.output.absolute().parent
    names = [os.path.relpath(path.absolute(), folder) for path in sources.files]
    plain = all(_PLAIN_NAME.fullmatch(name) and not name.startswith("..") for name in names)
    return tuple(names) if plain else ()
