"""How a difference spreads: two stored traces as a grid of steps and phases, and one of steps and tensors.

Both are bounded: many steps become groups that keep what differs. The bytes are the jobs', so nothing is
believed of them; lines that cannot be read end the map.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import BinaryIO

from orchestrator.errors import RepriseError
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import TraceFile
from orchestrator.run.live.step_groups import StepGroups
from orchestrator.value import Value
from orchestrator.verdict.comparability import was_stopped
from orchestrator.verdict.outputs.compare_files import OpenBlob
from orchestrator.verdict.traces.pair_processes import pairs_of
from orchestrator.verdict.traces.trace_lines import TABLE, TableLine, TraceEvent, TraceReader
from orchestrator.verdict.verdict_model import Phase

COLUMNS = 60  # groups of steps that are shown; twice as many are held at most
ROWS = 60  # tensors that are shown, those that differed first
LINES = 400_000  # of a trace that are read
ALL_LINES = 4 * LINES  # of all: who looks may have many processes, and waits
_OF_TENSORS = (Phase.INIT, Phase.BACKWARD, Phase.OPTIMIZER)


class MapRow(Value):
    """One phase, or one tensor in one phase. Of each column: events there, and those that differ."""

    name: str
    phase: Phase
    there: tuple[int, ...]
    apart: tuple[int, ...]
    first: int | None  # step of the first that differs


class DifferenceMap(Value):
    columns: tuple[tuple[int, int], ...] = ()  # first and last step
    phases: tuple[MapRow, ...] = ()  # in the order of a step
    tensors: tuple[MapRow, ...] = ()  # that differ somewhere, in the order in which they did
    more_tensors: int = 0  # that differ and are not shown
    equal_tensors: int = 0  # that never differ
    problem: str = ""  # why the map ends early
    unread: bool = False  # it ends there as a trace could not be read now; it may be, another time
    rank: int = 0


def difference_map(original: RunRecord, rerun: RunRecord, open_blob: OpenBlob) -> DifferenceMap:
    """Of the first rank that differs, else of the first. Empty where a run has no trace. Never raises."""
    found, left = DifferenceMap(), ALL_LINES
    pairs = pairs_of(original.traces, rerun.traces, open_blob, cut=was_stopped(rerun))
    try:
        for number, pair in enumerate(pairs):
            if left <= 0:
                why = f"rank {pair[0].rank} and those after it are not shown: {ALL_LINES:,} events were equal"
                return found.model_copy(update={"problem": found.problem or why})
            grid = _Grid()
            one = _of_pair(grid, pair, open_blob, min(LINES, left))
            if any(row.first is not None for row in one.phases):
                return one
            found, left = found if number else one, left - grid.lines
    except (RepriseError, OSError) as error:  # pairing the processes of a rank reads their traces, too
        return found.model_copy(update={"problem": _why(error), "unread": True})
    return found


def _of_pair(grid: _Grid, pair: tuple[TraceFile, TraceFile], open_blob: OpenBlob, most: int) -> DifferenceMap:
    problem, unread = "", False
    try:
        with open_blob(pair[0].digest) as left, open_blob(pair[1].digest) as right:
            problem = _walk(grid, pair, left, right, most)
    except (RepriseError, OSError) as error:
        problem, unread = _why(error), True
    return grid.map(problem, pair[0].rank).model_copy(update={"unread": unread})


def _why(error: RepriseError | OSError) -> str:
    return error.message if isinstance(error, RepriseError) else str(error)


def _walk(grid: _Grid, pair: tuple[TraceFile, TraceFile], left: BinaryIO, right: BinaryIO, most: int) -> str:
    """Line beside line, until one trace ends or the runs take different paths. Why it ended early."""
    readers = TraceReader(pair[0], left), TraceReader(pair[1], right)
    for _ in range(most):
        grid.lines += 1
        a, b = readers[0].next(), readers[1].next()
        if a is None or b is None:
            return ""
        if a.startswith(TABLE) and a == b:
            readers[0].keep(a)
            readers[1].keep(b)
            continue
        one = readers[0].parse(a)
        other = one if a == b else readers[1].parse(b)
        if isinstance(one, TableLine) or isinstance(other, TableLine) or one is None or other is None:
            return "the two traces name other tensors from here on"
        if one.key != other.key:
            return f"the two runs took different paths after step {one.step:,}"
        grid.add(one, other, same=a == b)
    return f"only the first {most:,} events are shown"


@dataclass
class _StepColumn:
    first: int
    last: int
    there: Counter[tuple[str, Phase]] = field(default_factory=Counter)
    apart: Counter[tuple[str, Phase]] = field(default_factory=Counter)

    def join(self, later: _StepColumn) -> None:
        self.there.update(later.there)
        self.apart.update(later.apart)


class _Grid:
    def __init__(self) -> None:
        self.lines = 0  # of either trace that were looked at
        self._columns = StepGroups(COLUMNS, _StepColumn)
        self._first: dict[tuple[str, Phase], int] = {}  # step of the first difference

    def add(self, one: TraceEvent, other: TraceEvent, *, same: bool) -> None:
        column = self._columns.at(one.step)
        phase = one.phase
        self._mark(column, ("", phase), one.step, apart=not same)
        if phase not in _OF_TENSORS:
            return
        for left, right in zip(one.entries, other.entries, strict=True):
            self._mark(column, (left.name, phase), one.step, apart=not same and left.digest != right.digest)

    def _mark(self, column: _StepColumn, key: tuple[str, Phase], step: int, *, apart: bool) -> None:
        column.there[key] += 1
        if apart:
            column.apart[key] += 1
            self._first.setdefault(key, step)

    def map(self, problem: str, rank: int) -> DifferenceMap:
        keys = {key for column in self._columns for key in column.there if key[0]}
        order = list(Phase)
        differing = sorted(
            (key for key in self._first if key[0]),
            key=lambda key: (self._first[key], order.index(key[1]), key[0]),
        )
        phases = [phase for phase in Phase if any(column.there["", phase] for column in self._columns)]
        return DifferenceMap(
            columns=tuple((column.first, column.last) for column in self._columns),
            phases=tuple(self._row(("", phase)) for phase in phases),
            tensors=tuple(self._row(key) for key in differing[:ROWS]),
            more_tensors=max(len(differing) - ROWS, 0),
            equal_tensors=len({name for name, _ in keys} - {name for name, _ in differing}),
            problem=problem,
            rank=rank,
        )

    def _row(self, key: tuple[str, Phase]) -> MapRow:
        return MapRow(
            name=key[0],
            phase=key[1],
            there=tuple(column.there[key] for column in self._columns),
            apart=tuple(column.apart[key] for column in self._columns),
            first=self._first.get(key),
        )
