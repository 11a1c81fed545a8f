"""What a growing trace says so far: steps, phases, and for a rerun which of its events are the original's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from orchestrator.errors import RepriseError
from orchestrator.run.collect.trace_files import LOSS
from orchestrator.run.collect.trace_line import EVENT_HEAD, LONGEST_LINE, tensors_in
from orchestrator.run.live.live_state import LiveStep
from orchestrator.run.live.reduce_points import GrowingSeries
from orchestrator.run.live.step_groups import StepGroups

MOST = 120  # steps, or groups of steps, that are shown; twice as many are held at most
PHASES = {
    **{name: name for name in ("init", "rng", "batch", "forward")},
    "loss": "forward",
    "grads": "backward",
    "params": "optimizer",
}
_LOSS = re.compile(rb'"x":\[([-+.0-9e]{1,40})[,\]]')

Original = Callable[[int], BinaryIO | None]  # by rank; positioned behind its header


@dataclass
class _StepPhases:
    """A group of steps: events of each phase, and the phases in which one differs from the original's."""

    first: int
    last: int
    phases: Counter[str] = field(default_factory=Counter)
    apart: set[str] = field(default_factory=set)

    def join(self, later: _StepPhases) -> None:
        self.phases.update(later.phases)
        self.apart |= later.apart


class GrowingTrace:
    """One process. `original` gives the trace that its rank left in the original run, None for no rerun."""

    def __init__(self, original: Original | None) -> None:
        self._original = original
        self._beside: BinaryIO | None = None
        self.rank: int | None = None  # None: its header was not read
        self.problem = ""  # why it is not compared any more
        self.steps = self.events = self.tensors = 0
        self.phase = ""
        self.losses = GrowingSeries(LOSS)
        self.ended = False
        self._groups = StepGroups(MOST, _StepPhases)

    @property
    def compared(self) -> bool:
        return self._beside is not None

    def add(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            if self.rank is None:
                self._begin(line)
                continue
            event = EVENT_HEAD.match(line)
            other = self._other(line)
            if event is None:
                self.ended = self.ended or line.startswith((b'{"end"', b'{"broken"'))
            elif (name := event[1].decode()) in PHASES:
                self._count(PHASES[name], int(event[2]), line, same=other == line)
                if name == "loss" and (loss := _LOSS.search(line, max(len(line) - 200, 0))) is not None:
                    with suppress(ValueError):
                        self.losses.add(int(event[2]), float(loss[1]))

    def _other(self, line: bytes) -> bytes:
        """The original's next line; `line` itself where nothing is compared.

        After one that could not be read no line stands beside its own, and all would seem to differ.
        """
        if self._beside is None or self.ended:
            return line
        try:
            return self._beside.readline(LONGEST_LINE)
        except (RepriseError, OSError) as error:
            self.problem = error.message if isinstance(error, RepriseError) else str(error)
            self.close()
            return line

    def _begin(self, line: bytes) -> None:
        found = re.search(rb'"rank":([0-9]{1,7})[,}]', line[:2000])
        self.rank = int(found[1]) if found else 0
        self._beside = self._original(self.rank) if self._original is not None else None

    def _count(self, phase: str, step: int, line: bytes, *, same: bool) -> None:
        self.events += 1
        self.phase = phase
        self.tensors += tensors_in(line)
        self.steps = max(self.steps, step + (phase == "optimizer"))
        group = self._groups.at(step)
        group.phases[phase] += 1
        if not same:
            group.apart.add(phase)

    def ribbon(self) -> tuple[LiveStep, ...]:
        return tuple(
            LiveStep(first=one.first, last=one.last, phases=dict(one.phases), apart=tuple(sorted(one.apart)))
            for one in self._groups
        )

    def close(self) -> None:
        if self._beside is not None:
            self._beside.close()
            self._beside = None
