"""Compares a rerun's traces with its original's while they grow: has training certainly parted?

Only whole lines are compared, and only what the comparison of two finished runs would call the first
difference counts: a trace that was made in another way, has other tensors, or ended early says nothing yet.
Where a rank has several processes, their order is no difference: a trace has parted when it goes with none of
the original's of its rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

from orchestrator.digest import Digest
from orchestrator.run.attempt_model import TraceFile
from orchestrator.run.collect.trace_line import EVENT_HEAD, LONGEST_LINE
from orchestrator.verdict.outputs.compare_files import OpenBlob
from orchestrator.verdict.traces.compare_traces import differences_in, earliest
from orchestrator.verdict.traces.trace_lines import EVENT, TABLE, header_of
from orchestrator.verdict.verdict_model import TraceDifference

SETTLE = 3.0  # seconds that other processes have to reach the step of a difference
_NOTHING = Digest.of(b"")


@dataclass
class _Beside:
    """One trace of the original, read in step with a growing one."""

    file: TraceFile
    stream: BinaryIO
    same: bool = True  # as far as both were read


@dataclass
class _Growing:
    """One trace of the rerun, as far as it was read."""

    again: Callable[[], BinaryIO]  # the file from its beginning
    rank: int = -1  # -1: its header was not read
    beside: list[_Beside] = field(default_factory=list)
    done: int = -1  # the last step whose events are all here
    parted: int | None = None  # the step of the line at which the last of `beside` fell away
    ended: bool = False
    judged: bool = False
    first: TraceDifference | None = None

    def add(self, line: bytes, at_header: Callable[[_Growing, bytes], None]) -> None:
        if self.rank < 0:
            at_header(self, line)
            return
        if self.ended:
            return
        event = EVENT_HEAD.match(line)
        if event is None and not line.startswith((EVENT, TABLE)):
            self.ended = True
            return
        step = int(event[2]) if event is not None else self.done + 1
        if self.parted is None and self.beside:
            for one in self.beside:
                one.same = one.same and one.stream.readline(LONGEST_LINE + 1) == line
            if not any(one.same for one in self.beside):
                self.parted = step
        if event is not None:  # a step's last event is that of its parameters
            self.done = max(self.done, step if event[1] == b"params" else step - 1)

    @property
    def settled(self) -> bool:
        """Whether all of the step in which it parted is here."""
        return self.parted is not None and (self.done >= self.parted or self.ended)


class LiveComparison:
    """`originals`: the original's traces. The caller feeds lines, and asks what they say.

    Raises what opening a blob raises, at the first line of a trace; StoreError where one was altered, as
    soon as that makes a difference.
    """

    def __init__(self, originals: tuple[TraceFile, ...], open_blob: OpenBlob, more: int) -> None:
        self._originals = originals
        self._open_blob = open_blob
        self._more = more  # steps after the first difference
        self._growing: dict[str, _Growing] = {}
        self._found: float | None = None  # when the first difference was seen

    def feed(self, name: str, lines: Iterable[bytes], again: Callable[[], BinaryIO]) -> None:
        """Whole lines of the trace `name`, each once. `again` opens it from its beginning."""
        one = self._growing.setdefault(name, _Growing(again))
        for line in lines:
            one.add(line, self._begin)

    def parted(self, now: float) -> TraceDifference | None:
        """The first difference, once it is certain and `more` steps have followed. `now`: any clock."""
        for one in self._growing.values():
            if one.settled and not one.judged:
                one.judged, one.first = True, self._judge(one)
        parted = [one for one in self._growing.values() if one.first is not None]
        first = earliest(one.first for one in parted if one.first is not None)
        if first is None:
            return None
        self._found = now if self._found is None else self._found
        if now - self._found < SETTLE and not self._others_reached(first.step):
            return None
        reached = any(one.done >= first.step + self._more for one in parted)
        return first if self._more == 0 or reached else None

    def _others_reached(self, step: int) -> bool:
        waits = any(not one.ended and not one.judged and one.done < step for one in self._growing.values())
        ranks = {file.rank for file in self._originals} - {one.rank for one in self._growing.values()}
        return not waits and not ranks

    def _begin(self, one: _Growing, line: bytes) -> None:
        rank = header_of(line).get("rank")
        one.rank = rank if isinstance(rank, int) and rank >= 0 else 1 << 62
        for file in self._originals:
            if file.rank == one.rank:
                stream = self._open_blob(file.digest)
                stream.readline(LONGEST_LINE + 1)
                one.beside.append(_Beside(file, stream))

    def _judge(self, one: _Growing) -> TraceDifference | None:
        """What the comparison of finished runs says; None where it would not call it a difference."""
        facts = {"rank": one.rank, "world": 1, "pid": 0, "digest": _NOTHING, "size": 0}
        file = TraceFile.model_validate(facts | {"steps": 0, "events": 0, "complete": False})
        found: list[TraceDifference] = []
        for beside in one.beside:
            with self._open_blob(beside.file.digest) as left, one.again() as right:
                first = differences_in((beside.file, left), (file, right))
            if first is None:
                return None
            found.append(first)
        # The one that it went along with for longest is the one that it belongs to.
        return max(found, key=lambda first: first.step, default=None)

    def close(self) -> None:
        for one in self._growing.values():
            for beside in one.beside:
                beside.stream.close()
