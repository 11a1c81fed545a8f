"""A flavour of one's own: another base's recipe with other packages, locked for its Python."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.image.base.os_image import glibc
from orchestrator.image.base.own_flavours import ASKED, FOLDER, LOCK, check_name, write_flavour
from orchestrator.image.base.recipe import Recipe, read_recipe
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.packages.base_packages import held
from orchestrator.image.wheels.lock import Pin
from orchestrator.image.wheels.read_lock import read_lock
from orchestrator.launch.locking.lock_requirements import lock_requirements, read_lines
from orchestrator.launch.locking.lock_target import LockTarget
from orchestrator.launch.locking.requirement_line import RequestedPackage
from orchestrator.launch.watch import Watch
from orchestrator.settings import Settings
from orchestrator.spec.plain_file import read_plain
from orchestrator.value import Value

_ASKED_BYTES = 1 << 20
# The one release that does not say which PyTorch it is made for: a resolver would put it beside any.
_SAYS_NOTHING = {"torchaudio": "torchaudio!=2.11.0"}


class ChangedPackage(Value):
    """A package in which a flavour differs from the one that it was made from."""

    name: str
    before: str | None  # None: it was not there
    after: str | None  # None: it is not there any more


class NewFlavour(Value):
    name: str
    parent: str
    lock: Path
    packages: dict[str, str]
    changed: tuple[ChangedPackage, ...]  # sorted by name


def new_flavour(
    settings: Settings, name: str, parent: str, asked: tuple[str, ...], watch: Watch
) -> NewFlavour:
    """Lock and keep a flavour; `asked` are requirements (PEP 508). It is not built.

    UsageError: the name is taken, no such parent, not requirements, or nothing changes. LockError: they do
    not fit. InfrastructureError: no uv, or no package index.
    """
    check_name(settings, name)
    if not asked:
        raise UsageError("a base of one's own needs a --requirement", f"without any, it would be {parent}")
    recipe = read_recipe(settings, parent)
    python = python_of(recipe)
    before = {pin.name: pin for pin in read_lock(recipe.requirements, python).pins}
    has = {pin.name: pin.version for pin in before.values()}
    target = LockTarget(base=parent, python=python.model_copy(update={"packages": has}))
    wanted = read_lines(asked, target)
    watch.phase("base", f"packages for Python {recipe.python}")
    inputs = [one.line() for one in _inputs(recipe, target) if one.name not in {item.name for item in wanted}]
    if any(held(one.name) and not (one.name in has and one.takes(has[one.name])) for one in wanted):
        after = _another_torch(recipe, target, asked, inputs)
    else:
        locked = lock_requirements(asked, target)
        after = before | {one.pin.name: one.pin for one in locked.packages}
    changed = tuple(_changed(before, after))
    if not changed:
        raise UsageError(
            f"the base {parent} has all of that already", f"write `base: {parent}` in the job file"
        )
    write_flavour(settings, name, recipe, [*inputs, *(one.line() for one in wanted)], _text(after.values()))
    return NewFlavour(
        name=name,
        parent=parent,
        lock=settings.home / FOLDER / name / LOCK,
        packages={pin.name: pin.version for pin in sorted(after.values(), key=lambda pin: pin.name)},
        changed=changed,
    )


def python_of(recipe: Recipe) -> PythonFacts:
    """The flavour's Python, as its recipe says; no base of it need be made. UsageError: it does not say."""
    if recipe.python is None:
        raise UsageError(
            f"the flavour {recipe.flavour} does not say for which Python it is",
            f'write python = "3.11", or which it is, into its table beside {recipe.requirements.name}',
        )
    return PythonFacts(
        executable="/opt/python/bin/python",
        version=f"{recipe.python}.0",
        purelib=f"/opt/python/lib/python{recipe.python}/site-packages",
        glibc=glibc(recipe.release),
        machine="x86_64",
        packages={},
    )


def _inputs(recipe: Recipe, target: LockTarget) -> tuple[RequestedPackage, ...]:
    """What somebody asked for when the flavour was made, beside its lock; nothing where that is not kept."""
    path = recipe.requirements.with_name(ASKED)
    if not path.exists():
        return ()
    lines = (line.partition("#")[0].strip() for line in read_plain(path, _ASKED_BYTES).decode().splitlines())
    return read_lines([line for line in lines if line], target)


def _another_torch(
    recipe: Recipe, target: LockTarget, asked: tuple[str, ...], inputs: list[str]
) -> dict[str, Pin]:
    """All packages anew; the parent's versions are kept where they still fit.

    What the parent was asked for comes along in whatever version fits the other PyTorch.
    """
    empty = target.model_copy(update={"python": target.python.model_copy(update={"packages": {}})})
    names = [one.name for one in read_lines(inputs, target)]
    lines = [*asked, *(_SAYS_NOTHING.get(name, name) for name in names)]
    has = target.provided()
    locked = lock_requirements(lines, empty, before=has)
    if recipe.wheel_index is not None and not any("+" in one.pin.version for one in locked.packages):
        # Of the CPU builds the package index knows nothing: those of PyTorch's own index come first.
        try:
            locked = lock_requirements(lines, empty, before=has, more_indexes=(recipe.wheel_index,))
        except InfrastructureError as error:
            raise InfrastructureError(
                error.message,
                f"builds for {recipe.flavour} are at {recipe.wheel_index}, or where pip is told to look "
                "(PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS); with --from cuda they are on the package index",
            ) from error
    return {one.pin.name: one.pin for one in locked.packages}


def _changed(before: dict[str, Pin], after: dict[str, Pin]) -> Iterable[ChangedPackage]:
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None or now is None or was.version != now.version:
            yield ChangedPackage(
                name=name, before=was.version if was else None, after=now.version if now else None
            )


def _text(pins: Iterable[Pin]) -> str:
    lines = ["# Locked by `reprise base new`; do not edit.\n"]
    for pin in sorted(pins, key=lambda pin: pin.name):
        hashes = " \\\n".join(f"    --hash=sha256:{digest}" for digest in pin.sha256)
        lines.append(f"{pin.name}=={pin.version} \\\n{hashes}\n")
    return "".join(lines)
