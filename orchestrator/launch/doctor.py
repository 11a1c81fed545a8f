"""doctor: each part of this box tried for real; what is wrong, and how to mend it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial

from orchestrator.errors import RepriseError
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.run.hardware import box_id
from orchestrator.value import Value

LEAST = 512 << 20  # bytes of free disk under which a worker takes nothing
ROOM = 5 << 30  # bytes of free disk under which a base or a large output will not fit


class Check(Value):
    name: str
    ok: bool | None  # None: absent, which is not wrong
    detail: str
    hint: str | None = None


Parts = tuple[tuple[str, Callable[[Session], Check]], ...]


def checks(session: Session) -> Iterator[Check]:
    """One check after another: a broken part does not hide the next."""
    parts: Parts = (
        ("engine", _engine),
        ("jobs", _jobs),
        ("gpu", _gpu),
        ("database", _database),
        ("store", _store),
        ("registry", _registry),
        ("base", _base),
        ("disk", _disk),
        ("git", _git),
    )
    return _checked(session, parts)


def worker_checks(session: Session) -> list[Check]:
    """What a box needs to execute runs of the queue."""
    parts: Parts = (
        ("engine", _engine),
        ("gpu", _gpu),
        ("store", _store),
        ("registry", partial(_registry, pushes=False)),
        ("disk", partial(_disk, least=LEAST)),
    )
    return list(_checked(session, parts))


def _checked(session: Session, parts: Parts) -> Iterator[Check]:
    for name, check in parts:
        try:
            yield check(session)
        except RepriseError as error:
            yield Check(name=name, ok=False, detail=error.message, hint=error.hint)
        except OSError as error:
            yield Check(name=name, ok=False, detail=str(error))


def _engine(session: Session) -> Check:
    info = session.engine.info()
    info.refuse_unfit()
    store = "containerd" if info.containerd_store else info.storage
    detail = f"{info.name}, {store}, cgroup {info.cgroup}, {info.memory >> 20} MiB, {info.cpus} CPUs"
    return Check(name="engine", ok=True, detail=detail)


def _jobs(session: Session) -> Check:
    """A real container: does the engine hold what a job is promised?"""
    from orchestrator.launch.engine_trial import image_to_try_with, try_engine

    image = image_to_try_with(session)
    if image is None:
        detail = "not tried: the engine has no base and no job's image yet"
        return Check(name="jobs", ok=None, detail=detail)
    wrong = try_engine(session, image)
    if wrong:
        detail = "this engine does not hold what a job is promised: " + "; ".join(wrong)
        return Check(name="jobs", ok=False, detail=detail, hint="docs/engines.md says which engines do")
    detail = "a container was held to its limits, logged, ended and removed"
    return Check(name="jobs", ok=True, detail=detail)


def _gpu(session: Session) -> Check:
    from orchestrator.run.hardware import gpus

    found = gpus()
    if not found:
        return Check(name="gpu", ok=None, detail="no NVIDIA driver on this box: jobs run on the CPU")
    info = session.engine.info()
    names = ", ".join(f"{gpu.name} ({gpu.compute}, driver {gpu.driver})" for gpu in found)
    if info.podman or not ("nvidia" in info.runtimes or info.cdi):
        hint = "install the NVIDIA container toolkit and restart the engine"
        return Check(name="gpu", ok=False, detail=f"{names}; the engine cannot hand them on", hint=hint)
    return Check(name="gpu", ok=True, detail=names)


def _database(session: Session) -> Check:
    from orchestrator.message_wording import count

    open_runs = count(len(session.record.open_runs(box_id(session.settings))), "open run")
    return Check(name="database", ok=True, detail=f"{session.record.address}, {open_runs}")


def _store(session: Session) -> Check:
    """Bytes go in and come out again."""
    session.store.try_out()
    return Check(name="store", ok=True, detail=session.store.name)


def _registry(session: Session, *, pushes: bool = True) -> Check:
    """With `pushes` an upload is begun and cancelled. A box that only pulls needs no more than an answer."""
    if session.settings.registry is None:
        return Check(name="registry", ok=None, detail="REPRISE_REGISTRY is not set: images stay on this box")
    from orchestrator.launch.move_images import check_registry, registry_answers

    detail = check_registry(session.settings) if pushes else registry_answers(session.settings)
    return Check(name="registry", ok=True, detail=detail)


def _base(session: Session) -> Check:
    """A base of a registry counts: to submit elsewhere takes no more."""
    from orchestrator.image.base.base_pins import list_pins
    from orchestrator.launch.move_images import base_here

    names = [pin.name for pin in list_pins(session.settings)]
    if not names:
        hint = "run: reprise base build cpu"
        return Check(name="base", ok=False, detail="no base is pinned on this box", hint=hint)
    pins = [base_here(session, name, Silent()) for name in names]
    detail = ", ".join(f"{pin.ref.name} {pin.ref.digest.short} (torch {pin.python.torch})" for pin in pins)
    return Check(name="base", ok=True, detail=detail)


def _disk(session: Session, least: int = ROOM) -> Check:
    home = session.settings.home
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    detail = f"{free >> 30} GiB free" if free >> 30 else f"{free >> 20} MiB free"
    hint = None if free > least else f"free some space under {home}"
    return Check(name="disk", ok=free > least, detail=detail, hint=hint)


def _git(_session: Session) -> Check:
    path = shutil.which("git")
    if path is None:
        return Check(name="git", ok=None, detail="not installed: sources in a git repository cannot be read")
    return Check(name="git", ok=True, detail=path)
