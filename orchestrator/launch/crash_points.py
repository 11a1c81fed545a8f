"""Named points at which a test makes the orchestrator die as if by kill -9.

The promise "adopted, one container, one result" can only be tested by dying for real at each step;
without the variable a point costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "REPRISE_CRASH_AT"
POINTS = (
    "queued",  # the row is there, nobody has claimed it
    "claimed",
    "planned",  # the plan is stored
    "created",  # the container exists, the row still says preparing
    "running",  # the row says running, the container is not started
    "started",
    "ended",  # the container is dead, the row still says running
    "collecting",
    "collected",  # blobs are stored, the result is not
    "finished",  # the result is committed, the container is still there
    "removed",
)
IMPORT_POINTS = (
    "stored",  # evidence is stored, nothing else is
    "placed",  # inputs and image have their names, no run has a row
)
INPUT_POINTS = (
    "input stored",  # some files of an input are in the store
    "input fetched",  # some files of an input are on this box
)


def crash_point(name: str) -> None:
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
