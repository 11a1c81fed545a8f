"""Importance in a process of its own, with a limit of time and memory; a result is kept for the same input.

A page that somebody looks at must not stop because somebody else asks for a thousand runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence

from orchestrator.analysis.importance.parameter_importance import (
    Importance,
    Share,
    Trial,
    parameter_importance,
)
from orchestrator.errors import InfrastructureError

CPU_SECONDS = 30
WALL_SECONDS = 120  # on a busy machine the same work takes longer
MEMORY = 2 << 30  # bytes
KEPT = 128  # results
AT_ONCE = threading.Semaphore(2)  # such processes of this one
PATIENCE = 5.0  # seconds for one of these two places: who waits holds a thread of the server
_OUT_OF_MEMORY = 3  # exit code of the process
_kept: OrderedDict[str, Importance] = OrderedDict()
_guard = threading.Lock()


def bounded_importance(trials: Sequence[Trial], wall_seconds: float = WALL_SECONDS) -> Importance:
    """As `parameter_importance`; "cannot be told", with why, where the process did not get to its end.

    Safe from several threads. InfrastructureError where others are computed, for longer than `PATIENCE`.
    """
    text = json.dumps(trials)
    key = hashlib.sha256(text.encode()).hexdigest()
    with _guard:
        known = _kept.get(key)
    found = known or _computed(text, wall_seconds)
    if isinstance(found, str):
        return Importance(False, found, None, len(trials), 0, 0, False, [], [], [])
    with _guard:
        _kept[key] = found
        _kept.move_to_end(key)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found


def _computed(text: str, wall_seconds: float) -> Importance | str:
    """The importance, or why there is none."""
    command = [sys.executable, "-P", "-m", "orchestrator.analysis.importance.bounded_importance"]
    if not AT_ONCE.acquire(timeout=PATIENCE):
        raise InfrastructureError("other questions of what mattered are being answered", "ask in a minute")
    try:
        done = subprocess.run(
            command, input=text, text=True, stdout=subprocess.PIPE, timeout=wall_seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {wall_seconds:g} s"
    finally:
        AT_ONCE.release()
    return _from_document(json.loads(done.stdout)) if done.returncode == 0 else _why(done.returncode)


def _why(code: int) -> str:
    if code == -signal.SIGXCPU:
        return f"it took more than {CPU_SECONDS} s of a processor"
    if code == _OUT_OF_MEMORY:
        return f"it needed more than {MEMORY >> 30} GiB of memory"
    if code == -signal.SIGKILL:
        return "its process was killed, as a machine does that has no memory left"
    return f"its process failed, with exit code {code}: that is a bug"


def _from_document(document: list[object]) -> Importance:
    found = Importance(*document)  # type: ignore[arg-type]
    return found._replace(shares=[Share(*share) for share in found.shares])


def _serve() -> None:
    os.nice(5)
    # The harder limit is later: the softer one has a signal of its own, so its end has no other cause.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        trials = [Trial(*trial) for trial in json.load(sys.stdin)]
        json.dump(parameter_importance(trials), sys.stdout)
    except MemoryError:
        sys.exit(_OUT_OF_MEMORY)


if __name__ == "__main__":
    _serve()
