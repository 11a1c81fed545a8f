"""Compares two runs' traces, streamed from the store, up to the first difference.

Files are paired as pair_processes.py says. Headers hold pids and clocks, so lines are compared from the
second on, as bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from orchestrator.errors import RepriseError, StoreError
from orchestrator.message_wording import count
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import TraceFile
from orchestrator.run.collect.trace_line import EVENT_HEAD, tensors_in
from orchestrator.verdict.comparability import was_stopped
from orchestrator.verdict.outputs.compare_files import OpenBlob
from orchestrator.verdict.traces.event_differences import (
    GENERATOR_TOO,
    between,
    path_difference,
    table_difference,
)
from orchestrator.verdict.traces.pair_processes import pairs_of
from orchestrator.verdict.traces.trace_lines import (
    CUT_OFF,
    DAMAGED,
    NO_DIGEST,
    TABLE,
    TableLine,
    TraceEvent,
    TraceReader,
    word,
)
from orchestrator.verdict.verdict_model import Phase, Traced, TraceDifference

LOOK_AHEAD = 10_000  # lines of the same step that are read for what comes before the first difference
MAX_BATCHES = 1_000_000  # digests that are held to see whether the same batches came in another order
_ORDER = list(Phase)
_BEFORE_COMPUTING = (Phase.INIT, Phase.RNG, Phase.BATCH)
_NOT_COMPARED = {"pid", "began"}  # of a header
_NO_DIGEST = NO_DIGEST.encode()
_KILLED = ": its process became another program or was killed, as a block `with Pool` does to its workers"

FilePair = tuple[TraceFile, TraceFile]


@dataclass(frozen=True)
class TracesCompared:
    traced: Traced | None = None  # what is equal; None: neither run traced anything
    first: TraceDifference | None = None
    unlike: str = ""  # why the two cannot be set side by side; only where nothing differed before that
    problems: tuple[str, ...] = ()  # traces that are incomplete, damaged, or contradict the record
    reordered: bool = False  # the same batches came in another order
    whole: bool = False  # of one pair: both were read to their ends, and nothing differs
    one_of_several: bool = False  # threads trained: which one was watched may be another in each run

    @property
    def equal(self) -> bool:
        return self.traced is not None and not (self.first or self.unlike or self.problems)


def compare_traces(original: RunRecord, rerun: RunRecord, open_blob: OpenBlob) -> TracesCompared:
    """Never raises for what a job wrote, nor for blobs that cannot be read.

    The traces of a rerun that was stopped where it parted are compared as far as they go.
    """
    if not original.traces and not rerun.traces:
        return TracesCompared()
    cut = was_stopped(rerun)
    problems = [*_recorded_problems("original", original)]
    problems += [] if cut else _recorded_problems("rerun", rerun)
    unlike = "" if problems or cut else _other_processes(original, rerun)
    found: list[TraceDifference] = []
    parts, reordered = [], False
    for pair in pairs_of(original.traces, rerun.traces, open_blob, cut=cut):
        compared = _compare_pair(pair, open_blob, cut=cut)
        problems += [text for text in compared.problems if not any(one.startswith(text) for one in problems)]
        unlike = unlike or compared.unlike
        parts.append(compared)
        if compared.first is not None:
            found.append(compared.first)
            reordered = reordered or compared.reordered
    first = earliest(found)
    if first is not None:
        unlike = ""
    one_of_several = any(part.one_of_several for part in parts)
    return TracesCompared(
        _sum(parts), first, unlike, tuple(problems), reordered, one_of_several=one_of_several
    )


def earliest(found: Iterable[TraceDifference]) -> TraceDifference | None:
    return min(found, key=lambda item: (item.step, _ORDER.index(item.phase), item.rank), default=None)


def differences_in(
    original: tuple[TraceFile, BinaryIO], rerun: tuple[TraceFile, BinaryIO]
) -> TraceDifference | None:
    """The first difference of two open traces, of which the rerun's may still grow.

    StoreError where they differ because the original's was altered in the store.
    """
    walk = _Walk(TraceReader(*original), TraceReader(*rerun), cut=True)
    walk.run()
    if walk.first is not None:
        walk.left.finish()
        if walk.left.problem == DAMAGED:
            raise StoreError(f"the trace of rank {original[0].rank} of the original {DAMAGED}")
    return None if walk.left.of_one_thread_of_several else walk.first


def _recorded_problems(name: str, run: RunRecord) -> Iterator[str]:
    for file in run.traces:
        if file.broken is not None:
            yield f"the trace of rank {file.rank} of the {name} broke off: {file.broken}"
        elif not file.complete:
            yield f"the trace of rank {file.rank} of the {name} {CUT_OFF}{_KILLED}"


def _other_processes(original: RunRecord, rerun: RunRecord) -> str:
    left, right = original.traces, rerun.traces
    worlds = [sorted({file.world for file in files}) for files in (left, right)]
    if left and right and worlds[0] != worlds[1]:
        sizes = (" and ".join(map(str, world)) for world in worlds)
        return f"world size {' vs '.join(sizes)}"
    ranks = [Counter(file.rank for file in files) for files in (left, right)]
    if len(left) != len(right):
        return f"{len(left)} vs {count(len(right), 'traced process', 'traced processes')}"
    return "traced processes of other ranks" if ranks[0] != ranks[1] else ""


def _sum(parts: list[TracesCompared]) -> Traced:
    """Of all pairs. Nothing is counted past the step at which one of them was cut, or differs."""
    each = [part.traced or Traced() for part in parts]
    ends = [one.steps for one, part in zip(each, parts, strict=True) if not part.whole]
    return Traced(
        ranks=len(each),
        steps=min([max((one.steps for one in each), default=0), *ends]),
        events=sum(one.events for one in each),
        tensors=sum(one.tensors for one in each),
    )


def _compare_pair(pair: FilePair, open_blob: OpenBlob, *, cut: bool) -> TracesCompared:
    try:
        with open_blob(pair[0].digest) as left, open_blob(pair[1].digest) as right:
            walk = _Walk(TraceReader(pair[0], left), TraceReader(pair[1], right), cut=cut)
            walk.run()
            return walk.result()
    except (RepriseError, OSError) as error:
        return TracesCompared(
            Traced(), problems=(f"a trace of rank {pair[0].rank} cannot be read: {word(error)}",)
        )


@dataclass
class _Walk:
    """Reads two traces side by side, to the first difference and to what came before it in its step."""

    left: TraceReader
    right: TraceReader
    cut: bool  # the right one was stopped before its end, or still grows
    events: int = 0
    tensors: int = 0
    same: bytes = b""  # the last event that both hold
    undigested: str = ""  # the first tensor that both hold and that has no digest
    first: TraceDifference | None = None
    unlike: str = ""
    batches: Counter[bytes] = field(default_factory=Counter)  # the original's less the rerun's

    def run(self) -> None:
        self.unlike = self._other_header()
        if self.unlike:
            return
        while True:
            a, b = self.left.next(), self.right.next()
            if a is None or b is None:
                self._ended(a, b)
                return
            if a != b:
                self._unequal(a, b)
                return
            if a.startswith(TABLE):
                self._keep(a)
            else:
                self.events += 1
                self.tensors += tensors_in(a)
                self.same = a
                if not self.undigested and _NO_DIGEST in a:
                    event = self.left.parse(a)
                    self.undigested = event.undigested() if isinstance(event, TraceEvent) else ""

    def _other_header(self) -> str:
        a, b = self.left.header, self.right.header
        if self.left.problem or self.right.problem:
            return ""
        for name in sorted((a.keys() | b.keys()) - _NOT_COMPARED):
            if repr(a.get(name)) != repr(b.get(name)):
                return f"traced in another way ({word(name)} {word(a.get(name))} vs {word(b.get(name))})"
        return ""

    def _keep(self, table: bytes) -> None:
        self.left.keep(table)
        self.right.keep(table)

    def _ended(self, a: bytes | None, b: bytes | None) -> None:
        """At least one of the two came to its last line, or cannot be read further."""
        left, right = self.left, self.right
        ends = left.last, right.last
        if left.problem or right.problem or any(end is not None and end.broken is not None for end in ends):
            return
        steps = left.file.steps, right.file.steps
        if steps[0] != steps[1]:
            self.unlike = f"step count {steps[0]:,} vs {steps[1]:,}"
        elif a is not None:
            self.first = path_difference(left.parse(a), None, left.file.rank, steps[0])
        elif b is not None:
            self.first = path_difference(None, right.parse(b), left.file.rank, steps[0])

    def _unequal(self, a: bytes, b: bytes) -> None:
        rank = self.left.file.rank
        one, other = self.left.parse(a), self.right.parse(b)
        if one is None or other is None:
            return
        if isinstance(one, TableLine) and isinstance(other, TableLine):
            self.unlike = table_difference(one, other)
            return
        if isinstance(one, TableLine) or isinstance(other, TableLine) or one.key != other.key:
            self.first = path_difference(one, other, rank)
            return
        self._count_batches(a, b)
        self.first = self._earliest(between(one, other, rank))
        if self.first.phase is Phase.BATCH:
            self._count_the_rest()

    def _earliest(self, first: TraceDifference) -> TraceDifference:
        """Weights and generators are digested after the batch was fetched, but come before it in a step."""
        found, computing = [first], first.phase not in _BEFORE_COMPUTING
        for one, other in self._same_step(first.step):
            computing = computing or one.phase not in _BEFORE_COMPUTING
            if one.phase is Phase.INIT or not computing:
                found.append(between(one, other, first.rank))
        best = min(found, key=_rank_of)
        generators = [item.tensor for item in found if item.phase is Phase.RNG and item.tensor]
        if best.phase is Phase.INIT and generators:
            return best.model_copy(update={"note": f"{GENERATOR_TOO} {generators[0]}"})
        return best

    def _same_step(self, step: int) -> Iterator[tuple[TraceEvent, TraceEvent]]:
        """The other events of a step that differ, as long as both runs stay on the same path."""
        for _ in range(LOOK_AHEAD):
            a, b = self.left.next(), self.right.next()
            self._count_batches(a, b)
            if a is None or b is None:
                return
            if a == b:
                if a.startswith(TABLE):
                    self._keep(a)
                continue
            one, other = self.left.parse(a), self.right.parse(b)
            if not isinstance(one, TraceEvent) or not isinstance(other, TraceEvent):
                return
            if one.key != other.key or one.step != step:
                return
            yield one, other

    def _count_batches(self, a: bytes | None, b: bytes | None) -> None:
        if a == b:
            return
        for line, sign in ((a, 1), (b, -1)):
            if line is not None and line.startswith(b'{"e":"batch"') and len(self.batches) < MAX_BATCHES:
                # Without the step: the same batch may come at another step.
                self.batches[hashlib.sha256(line.partition(b',"n":')[2]).digest()] += sign

    def _count_the_rest(self) -> None:
        while True:
            a, b = self.left.next(), self.right.next()
            if a is None and b is None:
                return
            self._count_batches(a, b)

    def _same_batches(self) -> bool:
        """Whether both had the same batches; of a stopped rerun: whether the original had all of its."""
        left = self.batches.values()
        if len(left) >= MAX_BATCHES:
            return False  # not all were held
        return min(left, default=0) >= 0 if self.cut else not any(left)

    def result(self) -> TracesCompared:
        problems = []
        for name, reader in (("original", self.left), ("rerun", self.right)):
            reader.finish()
            if reader.problem and not (self.cut and reader.problem == CUT_OFF and reader is self.right):
                problems.append(f"the trace of rank {reader.file.rank} of the {name} {reader.problem}")
        if DAMAGED in (self.left.problem, self.right.problem):
            return TracesCompared(Traced(ranks=1), problems=tuple(problems))
        one_of_several = self.left.of_one_thread_of_several or self.right.of_one_thread_of_several
        if one_of_several:
            self.first = None
        if self.undigested:
            problems.append(f"the trace of rank {self.left.file.rank} has no digest of {self.undigested}")
        whole = not (self.first or self.unlike or self.left.problem or self.right.problem)
        steps = self.left.file.steps if whole else self._equal_steps()
        return TracesCompared(
            traced=Traced(ranks=1, steps=steps, events=self.events, tensors=self.tensors),
            first=self.first,
            unlike="" if problems else self.unlike,
            problems=tuple(problems),
            reordered=self.first is not None and self.first.phase is Phase.BATCH and self._same_batches(),
            whole=whole,
            one_of_several=one_of_several,
        )

    def _equal_steps(self) -> int:
        """Steps before the first difference, or those that both traces hold where one of them was cut."""
        if self.first is not None:
            return self.first.step
        head = EVENT_HEAD.match(self.same)
        # The event of its parameters is a step's last one.
        return 0 if head is None else int(head[2]) + (head[1] == b"params")


def _rank_of(difference: TraceDifference) -> int:
    return _ORDER.index(difference.phase)
