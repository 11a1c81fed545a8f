"""The packages of a drafted job: the lock that is there, or one made for the base."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import RepriseError
from orchestrator.launch.locking.base_clashes import LockError
from orchestrator.launch.locking.lock_requirements import LockedRequirements, lock_requirements
from orchestrator.launch.locking.lock_target import lock_target
from orchestrator.launch.locking.sources.project_sources import ADDED, LOCK_NAME, LockSources, read_sources
from orchestrator.launch.project_survey.package_needs import PackageNeeds
from orchestrator.settings import Settings


@dataclass(frozen=True)
class DraftedLock:
    requirements: str | None = None  # for the job file
    files: dict[str, str] = field(default_factory=dict)  # name -> text, to be written
    notes: tuple[str, ...] = ()
    pending: bool = False  # `reprise lock` is still to make it
    base: str | None = None  # where it cannot be made: another base that fits
    make: str | None = None  # or the command that makes one


def draft_lock(settings: Settings, folder: Path, needs: PackageNeeds, base: str) -> DraftedLock:
    """Nothing is written. What keeps a lock from being made is a note: the job file can be had without it."""
    if needs.file is not None and needs.locked:
        return DraftedLock(needs.file)
    if needs.file is None and not needs.missing:
        return DraftedLock()
    added = {} if needs.file is not None else {ADDED: _added(needs.missing)}
    guessed = [f"packages guessed from imports, in {ADDED}: {', '.join(needs.missing)}; are these the ones?"]
    notes = guessed if added else []
    try:
        locked, more = _locked(settings, folder, needs, base)
    except RepriseError as error:
        hint = f" ({error.hint})" if error.hint else ""
        notes.append(f"the packages are not locked yet: {error.message}{hint}")
        clash = error if isinstance(error, LockError) else LockError("")
        return DraftedLock(LOCK_NAME, added, tuple(notes), True, clash.base, clash.make)
    notes += more
    if not locked.packages:
        return DraftedLock(notes=tuple(notes))
    notes += _unlisted(needs, locked)
    return DraftedLock(LOCK_NAME, added | {LOCK_NAME: locked.text}, tuple(notes))


def _locked(
    settings: Settings, folder: Path, needs: PackageNeeds, base: str
) -> tuple[LockedRequirements, tuple[str, ...]]:
    target = lock_target(settings, base)
    lines, limits = needs.missing, tuple[str, ...]()
    notes = tuple[str, ...]()
    if needs.file is not None:
        place = folder / needs.file
        sources = LockSources(
            files=(place,), output=folder / LOCK_NAME, base=None, job_file=None, named=False
        )
        found = read_sources(sources, target.python, (), ())
        lines, limits, notes = found.lines, found.limits, found.notes
    locked = lock_requirements(
        lines,
        target,
        limits=limits,
        cache=settings.wheels / "index",
        made_from=(needs.file or ADDED,),
    )
    return locked, (*notes, *locked.notes)


def _added(names: Iterable[str]) -> str:
    lines = ["# Guessed by `reprise init` from the imports: check the names, then run `reprise lock`."]
    return "\n".join([*lines, *names]) + "\n"


def _unlisted(needs: PackageNeeds, locked: LockedRequirements) -> list[str]:
    """What is imported, and is neither listed nor brought along by what is."""
    known = {one.pin.name for one in locked.packages} | set(locked.provided)
    absent = [name for name in needs.missing if name not in known]
    if needs.file is None or not absent:
        return []
    return [f"{needs.file} does not list {', '.join(absent)}, which the code imports: add it to {ADDED}"]
