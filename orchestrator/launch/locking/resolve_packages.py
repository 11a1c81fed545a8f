"""Asks uv which versions fit together on a base. Its answer is read strictly: an index wrote part of it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.image.packages.base_packages import held, public
from orchestrator.image.wheels.wheel_address import has_scheme, quoted
from orchestrator.launch.locking.index_settings import pip_settings, uv_environment, without_index
from orchestrator.launch.locking.lock_target import LockTarget
from orchestrator.launch.locking.provided_stubs import MARK, stub_version, write_stubs
from orchestrator.launch.locking.requirement_line import RequestedPackage, read_line
from orchestrator.launch.locking.resolver_messages import missing_extra, resolver_error
from orchestrator.launch.locking.run_uv import run_uv, uv_platform
from orchestrator.scratch import scratch_folder
from orchestrator.spec.plain_file import read_plain
from orchestrator.typed_path import typed_path
from orchestrator.value import Value

_LOCKED = re.compile(
    r"(?P<name>[a-z0-9-]+)(?:\[(?P<extras>[a-z0-9,-]+)\])?==(?P<version>[A-Za-z0-9.+!_-]+)"
    r"(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})*)(?: +# via (?P<via>.*))?",
    re.ASCII,
)
_MAX_LOCK = 64 << 20  # bytes of what uv writes
_MAX_LIMITS = 1 << 20  # bytes of pip's constraints


class ChosenVersion(Value):
    """A version that was chosen."""

    name: str
    version: str
    extras: tuple[str, ...]
    sha256: tuple[str, ...]  # of all files of the version, hex
    needed_by: tuple[str, ...]  # names of packages


def resolve(
    wanted: tuple[RequestedPackage, ...],
    limiting: tuple[RequestedPackage, ...],
    target: LockTarget,
    before: Mapping[str, str],
    cache: Path | None,
    more_indexes: tuple[str, ...] = (),
) -> tuple[ChosenVersion, ...]:
    """The versions of all that is needed, what the base has among them (`is_provided`).

    Something may need an extra of a package that the base has, such as fsspec[http]. No stub knows extras, so
    such a package is then looked up in the index, at the base's version.
    """
    pip = pip_settings()
    pip["extra-index-url"] = " ".join([pip.get("extra-index-url", ""), *more_indexes])
    limits = [*(f"{one.name}{one.specifier}" for one in limiting), *_limits_of_pip(pip, target)]
    looked_up = {one.name for one in wanted if one.extras}
    while True:
        found = _resolve(wanted, limits, target, before, cache, pip, looked_up)
        # What PyTorch needs is in the base; an index may have a build of it with other needs.
        stubbed = (one for one in found if one.version.endswith(f"+{MARK}") and not held(one.name))
        more = {one.name for one in stubbed if one.extras} - looked_up
        if not more:
            return found
        looked_up |= more


def is_provided(one: ChosenVersion, has: Mapping[str, str]) -> bool:
    """Whether the base has this version."""
    return one.name in has and one.version in (stub_version(has[one.name]), public(has[one.name]))


def _resolve(
    wanted: tuple[RequestedPackage, ...],
    limits: Sequence[str],
    target: LockTarget,
    before: Mapping[str, str],
    cache: Path | None,
    pip: Mapping[str, str],
    looked_up: set[str],
) -> tuple[ChosenVersion, ...]:
    has = target.provided()
    stubs = {name: version for name, version in has.items() if name not in looked_up}
    chosen = {name: stub_version(has[name]) if name in stubs else public(has[name]) for name in has}
    kept = {**{name: version for name, version in before.items() if name not in has}, **chosen}
    fixed = [f"{name}=={version}" for name, version in chosen.items() if held(name)]
    with scratch_folder("reprise-lock-") as room:
        write_stubs(room / "stubs", stubs)
        _write(room / "requirements.in", (one.line() for one in wanted))
        _write(room / "constraints.txt", [*fixed, *limits])
        # uv keeps the versions that its output has already, where they fit.
        _write(room / "lock.txt", (f"{name}=={version}" for name, version in sorted(kept.items())))
        words = ["--no-index"] if without_index(pip) else []
        environment = uv_environment(os.environ, pip, room / "stubs", room)
        said = run_uv([*uv_arguments(target, cache), *words], room, environment)
        if not said.succeeded:
            raise resolver_error(said.text, target, wanted)
        problem = missing_extra(said.text, wanted, set(stubs))
        if problem is not None:
            raise problem
        with (room / "lock.txt").open("rb") as stream:
            return _parse(stream.read(_MAX_LOCK).decode())


def uv_arguments(target: LockTarget, cache: Path | None) -> list[str]:
    words = ["pip", "compile", "--no-config", "--color=never", "--no-progress", "--no-sources"]
    words += ["--generate-hashes", "--only-binary=:all:", f"--python={sys.executable}"]
    words += [f"--python-version={target.python.version}", f"--python-platform={uv_platform(target.python)}"]
    words += ["--no-header", "--annotation-style=line", "--no-strip-extras"]
    words += [f"--cache-dir={cache}"] if cache is not None else ["--no-cache"]
    return [*words, "--constraints=constraints.txt", "--output-file=lock.txt", "requirements.in"]


def _limits_of_pip(pip: Mapping[str, str], target: LockTarget) -> list[str]:
    """The constraints that this box's pip is configured with: it would refuse to fetch what breaks them."""
    limits: list[str] = []
    has = target.provided()
    for name in pip.get("constraint", "").split():
        if has_scheme(name):  # an address, perhaps with a password: pip reads it when it fetches
            continue
        text = read_plain(typed_path(name, "pip's constraint"), _MAX_LIMITS, named=True).decode(
            "utf-8", "replace"
        )
        for line in text.splitlines():
            try:
                one = read_line(line.partition("#")[0].strip(), target.python)
            except ValueError:  # another form: pip reads it, and says what it makes of it
                continue
            if one is not None and one.specifier and one.name not in has:
                limits.append(f"{one.name}{one.specifier}")
    return limits


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def _parse(text: str) -> tuple[ChosenVersion, ...]:
    found = []
    joined = re.sub(r"\n +# via", "  # via", re.sub(r" *\\\n +", " ", text))
    for line in joined.splitlines():
        if not line.strip():
            continue
        match = _LOCKED.fullmatch(line.rstrip())
        if match is None:
            raise UsageError(f"uv resolved to something that is not locked by hash: {quoted(line)}")
        names = (name.strip() for name in (match["via"] or "").split(","))
        found.append(
            ChosenVersion(
                name=match["name"],
                version=match["version"],
                extras=tuple(match["extras"].split(",")) if match["extras"] else (),
                sha256=tuple(re.findall(r"[0-9a-f]{64}", match["hashes"])),
                needed_by=tuple(name for name in names if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)),
            )
        )
    return tuple(found)
