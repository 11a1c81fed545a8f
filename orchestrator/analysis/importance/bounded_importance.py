"""Importance in a process of its own, with a limit of time and memory; a result is kept for the same input.

A page that somebody looks at must not stop because somebody else asks for a thousand runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence

from orchestrator.analysis.importance.parameter_importance import (
    MOST_RUNS,
    Importance,
    Share,
    Trial,
    parameter_importance,
)

CPU_SECONDS = 30
WALL_SECONDS = 120  # on a busy machine the same work takes longer
MEMORY = 2 << 30  # bytes
KEPT = 128  # results
AT_ONCE = threading.Semaphore(2)  # such processes of this one
_kept: OrderedDict[str, Importance] = OrderedDict()
_guard = threading.Lock()


def bounded_importance(trials: Sequence[Trial], wall_seconds: float = WALL_SECONDS) -> Importance:
    """As `parameter_importance`; "cannot be told" where it took too long. Safe from several threads."""
    # Twice as many runs as count, so that those without a number do not displace others; `over` stays right.
    text = json.dumps(trials[: 2 * MOST_RUNS])
    key = hashlib.sha256(text.encode()).hexdigest()
    with _guard:
        known = _kept.get(key)
    found = known or _computed(text, wall_seconds)
    if found is None:
        why = f"it took more than {CPU_SECONDS} s of a processor, or {wall_seconds:g} s in all"
        return Importance(False, why, None, len(trials), 0, 0, False, [], [], [])
    with _guard:
        _kept[key] = found
        _kept.move_to_end(key)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found._replace(over=found.over + max(0, len(trials) - 2 * MOST_RUNS))


def _computed(text: str, wall_seconds: float) -> Importance | None:
    command = [sys.executable, "-P", "-m", "orchestrator.analysis.importance.bounded_importance"]
    try:
        with AT_ONCE:
            done = subprocess.run(
                command, input=text, text=True, stdout=subprocess.PIPE, timeout=wall_seconds, check=False
            )
    except subprocess.TimeoutExpired:
        return None
    return _from_document(json.loads(done.stdout)) if done.returncode == 0 else None


def _from_document(document: list[object]) -> Importance:
    found = Importance(*document)  # type: ignore[arg-type]
    return found._replace(shares=[Share(*share) for share in found.shares])


def _serve() -> None:
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    trials = [Trial(*trial) for trial in json.load(sys.stdin)]
    json.dump(parameter_importance(trials), sys.stdout)


if __name__ == "__main__":
    _serve()
