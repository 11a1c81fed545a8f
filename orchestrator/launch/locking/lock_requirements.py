"""From requirements to a hash-locked requirements file for one base, by uv's resolver.

What the base has is not locked again. Its PyTorch and what belongs to it stay as they are; of anything else a
job may bring another version, which then comes before the base's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.image.packages.base_packages import foreign_build, held
from orchestrator.image.wheels.lock import Pin, make_pin
from orchestrator.launch.locking.base_clashes import LockError, base_clash, cpu_torch_clash
from orchestrator.launch.locking.lock_target import LockTarget
from orchestrator.launch.locking.requirement_line import MAX_LINES, MAX_PROBLEMS, RequestedPackage, read_line
from orchestrator.launch.locking.resolve_packages import ChosenVersion, is_provided, resolve
from orchestrator.value import Value

_HEADER = "# Locked by `reprise lock`{files} for Python {python}, {machine}; what the base has is left out.\n"


class LockedPackage(Value):
    pin: Pin
    needed_by: tuple[str, ...] = ()  # names of packages; empty: asked for by the person


class LockedRequirements(Value):
    """The packages that a job brings, and what a person should know of them."""

    packages: tuple[LockedPackage, ...]  # sorted by name; what the base has is not among them
    provided: tuple[str, ...]  # names of what the base has of all that is needed
    notes: tuple[str, ...]
    text: str  # the requirements file


def lock_requirements(
    lines: Iterable[str],
    target: LockTarget,
    *,
    limits: Iterable[str] = (),
    before: Mapping[str, str] | None = None,
    cache: Path | None = None,
    made_from: tuple[str, ...] = (),
    more_indexes: tuple[str, ...] = (),
) -> LockedRequirements:
    """Lock requirements in the form of PEP 508, one each.

    `limits`, in the same form, hold where their package is needed. `before` has versions of an earlier lock,
    which are kept where they still fit. `cache`: a folder in which uv keeps what indexes said. `made_from`:
    names of files for the lock's first line. `more_indexes` are asked beside those of pip's configuration.

    LockError: the requirements do not fit the base or each other, or have no wheels. UsageError: they are not
    requirements. InfrastructureError: there is no uv, or the index does not answer.
    """
    wanted, limiting = read_lines(lines, target), read_lines(limits, target)
    raise_clash(target, (*wanted, *limiting))
    chosen = resolve(wanted, limiting, target, before or {}, cache, more_indexes)
    locked = _result(chosen, target, made_from)
    return locked.model_copy(update={"notes": (*locked.notes, *_unasked_pre_releases(locked, wanted))})


def read_lines(lines: Iterable[str], target: LockTarget) -> tuple[RequestedPackage, ...]:
    """What is asked for on the target. UsageError with every line that is not a requirement."""
    wanted: list[RequestedPackage] = []
    problems: list[str] = []
    for number, line in enumerate(lines):
        if number >= MAX_LINES or len(problems) >= MAX_PROBLEMS:
            problems.append("and perhaps more")
            break
        try:
            found = read_line(line, target.python)
        except ValueError as error:
            problems.append(str(error))
            continue
        if found is not None:
            wanted.append(found)
    if problems:
        raise UsageError("\n".join(["this cannot be locked:", *(f"  {one}" for one in problems)]))
    return tuple(wanted)


def raise_clash(target: LockTarget, wanted: Iterable[RequestedPackage]) -> None:
    """LockError where the base's PyTorch, or what belongs to it, is not what is asked for."""
    has = target.provided()
    wanted = tuple(wanted)
    clashing = [
        ("", one.name, one.specifier)
        for one in wanted
        if one.name in has and held(one.name) and not one.takes(has[one.name])
    ]
    if clashing:
        raise base_clash(target, clashing)
    for one in wanted:
        if one.extras and one.name in has and held(one.name):
            raise LockError(
                f"{one.name}[{','.join(one.extras)}]: the base {target.base} has {one.name}, without extras",
                "ask for the packages of the extra by their own names",
            )


def _result(
    found: tuple[ChosenVersion, ...], target: LockTarget, made_from: tuple[str, ...]
) -> LockedRequirements:
    has = target.provided()
    packages, notes = [], []
    for one in found:
        if is_provided(one, has):
            continue
        if not one.sha256:
            raise UsageError(
                f"{one.name}=={one.version}: the package index has no SHA-256 of it, so it cannot be locked",
                "use an index that has hashes, such as one made by a current tool",
            )
        packages.append(
            LockedPackage(pin=make_pin(one.name, one.version, one.sha256), needed_by=one.needed_by)
        )
        if one.name in has:
            why = f" (needed by {', '.join(one.needed_by)})" if one.needed_by else ""
            notes.append(
                f"{one.name} {one.version} comes before the {has[one.name]} of the base {target.base}{why}"
            )
    built = [
        (one.pin.name, one.needed_by) for one in packages if foreign_build(one.pin.name, one.pin.version, has)
    ]
    if built:
        raise cpu_torch_clash(target, built)
    return LockedRequirements(
        packages=tuple(packages),
        provided=tuple(one.name for one in found if is_provided(one, has)),
        notes=tuple(notes),
        text=lock_text((one.pin for one in packages), target, made_from),
    )


def _unasked_pre_releases(locked: LockedRequirements, wanted: Iterable[RequestedPackage]) -> Iterator[str]:
    """uv takes one where no release is left, such as when all need a package without a wheel."""
    from packaging.version import Version

    named = {one.name for one in wanted if one.versions.prereleases}
    for one in locked.packages:
        if one.pin.name not in named and Version(one.pin.version).is_prerelease:
            yield f"{one.pin.name} {one.pin.version} is a pre-release: no release fits, from wheels alone"


def lock_text(pins: Iterable[Pin], target: LockTarget, made_from: tuple[str, ...] = ()) -> str:
    """A hash-locked requirements file: no addresses, sorted, the same for the same pins."""
    version = ".".join(target.python.version.split(".")[:2])
    files = f" from {', '.join(made_from)}" if made_from else ""
    lines = [_HEADER.format(files=files, python=version, machine=target.python.machine)]
    for pin in sorted(pins, key=lambda pin: pin.name):
        hashes = " \\\n".join(f"    --hash=sha256:{digest}" for digest in sorted(pin.sha256))
        lines.append(f"{pin.name}=={pin.version} \\\n{hashes}\n")
    return "".join(lines)
