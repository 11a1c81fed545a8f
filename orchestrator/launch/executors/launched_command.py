"""The command that every executor launches, and the environment that it needs."""

from __future__ import annotations

import sys

from orchestrator.settings import Settings

# Without -P, Python could import an `orchestrator` from the working directory.
COMMAND = (sys.executable, "-P", "-m", "orchestrator.cli")


def execute_command(run: str, attempt: int, gpus: str | None = None) -> list[str]:
    """`gpus`: comma-separated UUIDs or NVML indices that the attempt may use; None: all of the box."""
    command = [*COMMAND, "execute", run, "--attempt", str(attempt)]
    return [*command, *(["--gpus", gpus] if gpus is not None else [])]


def execute_environment(settings: Settings) -> dict[str, str]:
    """What a process on another box needs to find the same record, store and registry.

    Not REPRISE_HOME: that is each box's own.
    """
    found = {"REPRISE_DATABASE_URL": settings.database_url, "REPRISE_STORE": settings.store_address}
    if settings.registry is not None:
        found["REPRISE_REGISTRY"] = settings.registry
    return found
