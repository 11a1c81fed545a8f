"""The flags that the processes of a run read back."""

from __future__ import annotations

from typing import Any

from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Readback

UNWATCHED = "python.unwatched"  # whether the process started Python without the payload's variables
OURS = ("trace", "settings.unset", UNWATCHED)
"""Flags that the payload reports about itself: a script does not move them."""


def flags_changed(original: RunRecord, rerun: RunRecord) -> dict[str, str]:
    """Flags that a script moved between its start and its end: `original: True -> False; rerun: ...`."""
    left, right = _changes(original), _changes(rerun)
    found = {}
    for name in sorted(left.keys() | right.keys()):
        sides = (("original", left.get(name)), ("rerun", right.get(name)))
        found[name] = "; ".join(
            f"{side}: {', '.join(moves) if moves else 'unchanged'}" for side, moves in sides
        )
    return found


def _changes(run: RunRecord) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for readback in run.readbacks:
        for name, (start, end) in readback.changed.items():
            if name in OURS:
                continue
            moves = found.setdefault(name, [])
            move = f"{flag_word(start)} -> {flag_word(end)}"
            if move not in moves:
                moves.append(move)
    return found


def flag_word(value: Any) -> str:
    return "unset" if value is None else str(value)


def main_readback(run: RunRecord) -> Readback | None:
    """The process that trains, as far as is known: the first that had torch, else the first of all.

    In the container's own pid namespace the lower pid came first.
    """
    torch = [readback for readback in run.readbacks if with_torch(readback)]
    return min(torch or run.readbacks, key=lambda readback: readback.pid, default=None)


def training_readback(run: RunRecord, rank: int = 0) -> Readback | None:
    """The process that left the trace of a rank; without a trace the main one.

    Under torchrun the first process with torch is the launcher, which does not train.
    """
    pids = {file.pid for file in run.traces if file.rank == rank}
    found = [readback for readback in run.readbacks if readback.pid in pids]
    return min(found, key=lambda readback: readback.pid) if found else main_readback(run)


def with_torch(readback: Readback) -> bool:
    """Whether the process had imported torch."""
    return any("torch.version" in flags for flags in (readback.start, readback.end) if flags)


def last_flags(readback: Readback) -> dict[str, Any]:
    """At the end; at the start where the process left no end."""
    return readback.end if readback.end is not None else readback.start or {}


def reported(run: RunRecord) -> bool:
    """Whether the runtime in the image left a report: without one nothing says what ran, or how."""
    return not run.reports_missing
