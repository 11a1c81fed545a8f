"""What is said where requirements clash with a base: who needs what, what it has, and which base fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.errors import UsageError
from orchestrator.launch.locking.lock_target import LockTarget

SHOWN = 8  # clashes in one message

# Who needs it ("" for the person), the package, the versions.
Clash = tuple[str, str, str]


class LockError(UsageError):
    """These requirements cannot be locked for this base.

    `resolver`: the resolver's last lines, cleaned. `base`: one for which they most likely can, made here or
    not. `make`: the command that makes one.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        resolver: Sequence[str] = (),
        *,
        base: str | None = None,
        make: str | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.resolver = tuple(resolver)
        self.base, self.make = base, make


def base_clash(target: LockTarget, clashes: Iterable[Clash], resolver: Sequence[str] = ()) -> LockError:
    """One message for all requirements that want another PyTorch, or companion of it, than the base has."""
    has = target.provided()
    distinct = tuple(dict.fromkeys(clashes))
    lines = [
        (f"{who} needs {package}{versions}" if who else f"{package}{versions} is asked for")
        + f", and the base {target.base} has "
        + (f"{package} {has[package]}" if package in has else f"no {package}")
        for who, package, versions in distinct[:SHOWN]
    ]
    if len(distinct) > SHOWN:
        lines.append(f"and {len(distinct) - SHOWN} more")
    text = "\n  ".join(lines)
    fits = _fitting(target, distinct)
    if fits is not None:
        hint = f"use a base that fits: --base {fits}, and `base: {fits}` in the job file"
        return LockError(text, hint, resolver, base=fits)
    make = _make(target, distinct)
    hint = f"change the requirement, or make a base of your own: {make}"
    return LockError(text, hint, resolver, make=make)


def cpu_torch_clash(target: LockTarget, built: Iterable[tuple[str, tuple[str, ...]]]) -> LockError:
    """For torchvision and its like beside a CPU build of PyTorch: they load, and then miss operators."""
    lines = [
        f"{name}"
        + (f" (needed by {', '.join(needed_by)})" if needed_by else "")
        + f" is made for another build of PyTorch than the CPU build of the base {target.base}"
        for name, needed_by in built
    ]
    names = [name for name, _ in built]
    fitting = [base for base, packages in target.others.items() if all(name in packages for name in names)]
    if fitting:
        return LockError(
            "\n  ".join(lines),
            f"use a base that has it: --base {fitting[0]}, and `base: {fitting[0]}` in the job file",
            base=fitting[0],
        )
    return LockError(
        "\n  ".join(lines),
        "the base cuda has torchvision and torchaudio, and runs without a GPU, too: reprise base build cuda, "
        "then `base: cuda` in the job file",
        base="cuda",
    )


def _wanted(clashes: Sequence[Clash]) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for _, package, versions in clashes:
        wanted.setdefault(package, []).append(versions)
    return wanted


def _fitting(target: LockTarget, clashes: Sequence[Clash]) -> str | None:
    """The first of this box's other bases that has what is asked for."""
    wanted = _wanted(clashes)
    for base, packages in sorted(target.others.items()):
        if all(_fits(packages.get(package), versions) for package, versions in wanted.items()):
            return base
    return None


def _make(target: LockTarget, clashes: Sequence[Clash]) -> str:
    asked = " ".join(
        f"--requirement '{package}{','.join(sorted(filter(None, set(versions))))}'"
        for package, versions in sorted(_wanted(clashes).items())
    )
    return f"reprise base new NAME --from {target.base} {asked}"


def _fits(version: str | None, wanted: Iterable[str]) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if version is None:
        return False
    try:
        return all(SpecifierSet(one).contains(version, prereleases=True) for one in wanted)
    except InvalidSpecifier:
        return False
