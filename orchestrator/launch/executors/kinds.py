"""The kinds of executors by name, one line each. An executor's module is imported when it is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError
from orchestrator.launch.executors.executor import Executor, Launcher, OwnBox, WorkerQueue
from orchestrator.record.run_record import OWN_BOX as OWN_BOX

if TYPE_CHECKING:
    from orchestrator.launch.session import Session

QUEUE = "worker"
# Kind -> its interface, and its class as `module:name`.
KINDS: dict[str, tuple[type[Executor], str]] = {
    OWN_BOX: (OwnBox, "orchestrator.launch.executors.local:LocalExecutor"),
    QUEUE: (WorkerQueue, "orchestrator.launch.executors.workers:Workers"),
    "slurm": (Launcher, "orchestrator.launch.executors.slurm:SlurmExecutor"),
    "ray": (Launcher, "orchestrator.launch.executors.ray:RayExecutor"),
}


def executor_of(session: Session, kind: str) -> Executor:
    """UsageError for an unknown kind, or one that cannot be used here."""
    if kind not in KINDS:
        raise UsageError(f"no executor is called {kind!r}", f"known are {', '.join(KINDS)}")
    module, _, name = KINDS[kind][1].partition(":")
    found: type[Executor] = getattr(importlib.import_module(module), name)
    return found.connect(session)


def launcher_of(session: Session, kind: str) -> Launcher:
    """The engine that starts attempts of this kind. UsageError as above, and for a kind without an engine."""
    found = executor_of(session, kind)
    if not isinstance(found, Launcher):
        raise UsageError(f"{kind} starts no attempts")
    return found


def stays_on_its_box(kind: str) -> bool:
    """Whether the box that submitted a run is the only one that can execute it."""
    return kind in KINDS and KINDS[kind][0] is OwnBox


def is_launched(kind: str) -> bool:
    """Whether an engine starts the attempts. True also for a kind that only another release knows."""
    return kind not in KINDS or KINDS[kind][0] is Launcher


def kinds_without_engine() -> tuple[str, ...]:
    return tuple(kind for kind in KINDS if not is_launched(kind))
