"""The kinds of executors by name. Each module is imported when it is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError
from orchestrator.launch.executors.executor import Executor

if TYPE_CHECKING:
    from orchestrator.launch.session import Session

LOCAL, WORKER = "local", "worker"
# Kind -> module with a function `connect(session) -> Executor`.
KINDS = {
    LOCAL: "orchestrator.launch.executors.local",
    WORKER: "orchestrator.launch.executors.worker_queue",
    "slurm": "orchestrator.launch.executors.slurm",
    "ray": "orchestrator.launch.executors.ray",
}


def executor_of(session: Session, kind: str) -> Executor:
    """UsageError for an unknown kind, or one that cannot be used here."""
    if kind not in KINDS:
        raise UsageError(f"no executor is called {kind!r}", f"known are {', '.join(KINDS)}")
    executor: Executor = importlib.import_module(KINDS[kind]).connect(session)
    return executor
