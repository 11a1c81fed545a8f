"""What the processes of a run read back of themselves."""

from __future__ import annotations

from typing import Any

from orchestrator.record.model import RunRecord
from orchestrator.run.model import Readback


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
            moves = found.setdefault(name, [])
            move = f"{_word(start)} -> {_word(end)}"
            if move not in moves:
                moves.append(move)
    return found


def _word(value: Any) -> str:
    return "unset" if value is None else str(value)


def main_readback(run: RunRecord) -> Readback | None:
    """The process that trains, as far as can be told: the first that had torch, else the first of all.

    In the container's own pid namespace the lower pid came first.
    """
    with_torch = [readback for readback in run.readbacks if "torch.version" in last_flags(readback)]
    return min(with_torch or run.readbacks, key=lambda readback: readback.pid, default=None)


def last_flags(readback: Readback) -> dict[str, Any]:
    """At the end; at the start where the process left no end."""
    return readback.end if readback.end is not None else readback.start or {}


def reported(run: RunRecord) -> bool:
    """Whether the runtime in the image left anything: without it nothing says what ran, or how."""
    return not run.reports_missing
