"""Why two runs are not the same: reasons, the likeliest first. Each names its facts.

The order, and why it is so (`_Rank`):
1. another program: what was changed on purpose explains all that follows. Of several changes, a seed comes
   first where weights or generators differ, an input where a batch does, else parameters and code.
2. where the trace alone proves it: equal training and unequal files is WRITING; a generator or a batch that
   differs first is moved neither by hardware nor by threads, so DATA_ORDER and SCRIPT stand before those.
   Python's hash seed stands before them, because it orders sets.
3. thread counts, then the effective instruction set: every such change moved bits at step 0 (measured:
   docs/verdict.md), and both are read back, not guessed.
4. flags that the script moved in one run only, or away from determinism in both; other flags; libraries.
5. the hardware's class: GPU model, SM count, CPU vendor.
6. SCRIPT, where none of the above was found: the same program, class of hardware and flags.
7. soft reasons: the driver and its libraries, the VBIOS, instruction sets that the libraries did not use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from orchestrator.message_wording import count, listed
from orchestrator.record.run_record import RunRecord
from orchestrator.spec.jobfile.job_spec import Level
from orchestrator.verdict.causes.clock_habits import CLOCK
from orchestrator.verdict.causes.hardware_causes import boxes, labelled, sides
from orchestrator.verdict.causes.program_causes import program_causes
from orchestrator.verdict.causes.readback_flags import OURS, flag_word, last_flags, training_readback
from orchestrator.verdict.causes.tolerance_advice import NO_MARKS, SuggestedMarks, advice
from orchestrator.verdict.traces.event_differences import GENERATOR_TOO, OTHER_PATH, OTHER_SHAPES
from orchestrator.verdict.verdict_model import (
    Cause,
    CauseKind,
    FileDifference,
    MetricDifference,
    Phase,
    Traced,
    TraceDifference,
)

FIELDS_IN_TEXT = 3
FIELDS_KEPT = 20
HASH_SEED = ("env.PYTHONHASHSEED", "python.hash_randomization")
CAPABILITY = ("torch.cpu_capability", "numpy.cpu_features")

# The value at which a flag lets an operation choose a nondeterministic form.
_AWAY = {
    "torch.deterministic_algorithms": False,
    "torch.deterministic_warn_only": True,
    "torch.fill_uninitialized_memory": False,
    "cudnn.deterministic": False,
    "cudnn.benchmark": True,
    "mkldnn.deterministic": False,
    "inductor.deterministic": False,
}
_THREADS_FIRST = ("torch.num_threads", "torch.omp_threads", "torch.mkl_threads")


@dataclass(frozen=True)
class Evidence:
    """What the comparison found, beside the two records."""

    first: TraceDifference | None = None
    traced: Traced | None = None
    trace_equal: bool = False  # everything traced is equal in both
    reordered: bool = False  # the same batches came in another order
    unlike: str = ""  # why the traces cannot be set side by side
    files: tuple[FileDifference, ...] = ()
    metrics: tuple[MetricDifference, ...] = ()
    marks: SuggestedMarks = NO_MARKS  # what could be called volatile


class _Rank(IntEnum):
    PROGRAM = 10
    PROVEN = 20  # by the trace alone
    THREADS = 30
    CAPABILITY = 40
    MOVED = 50
    FLAGS = 60
    LIBRARY = 70
    HARDWARE = 80
    SCRIPT = 90
    SOFT = 100


_Ranked = tuple[int, Cause]


def causes(original: RunRecord, rerun: RunRecord, evidence: Evidence) -> tuple[Cause, ...]:
    """Ranked; empty only where nothing differs."""
    differs = evidence.first or evidence.unlike or evidence.files or evidence.metrics
    programs = program_causes(original, rerun, evidence.first.phase if evidence.first else None)
    if not differs and not programs:
        return ()
    found: list[_Ranked] = [(_Rank.PROGRAM, cause) for cause in programs]
    found += [] if programs else _proven(original, rerun, evidence)
    found += _flags(original, rerun, evidence)
    found += _hardware(original, rerun)
    if not any(rank < _Rank.SCRIPT for rank, _ in found):
        found.append((_Rank.SCRIPT, _script(original, rerun, evidence)))
    return tuple(cause for _, cause in sorted(found, key=lambda item: item[0]))


def _proven(original: RunRecord, rerun: RunRecord, evidence: Evidence) -> list[_Ranked]:
    first = evidence.first
    if first is None:
        if evidence.trace_equal and (evidence.files or evidence.metrics):
            return [(_Rank.PROVEN, _writing(original, evidence))]
        return []
    if first.note == OTHER_PATH:
        return []
    found: list[_Ranked] = []
    if first.phase in (Phase.RNG, Phase.BATCH):
        seeds = _hash_seed(original, rerun)
        if seeds is not None:
            found.append((_Rank.PROVEN, seeds))
    if first.phase is Phase.BATCH:
        found.append((_Rank.PROVEN, _data_order(first, evidence.reordered)))
    if first.phase is Phase.RNG:
        text = (
            f"the generator {first.tensor or 'of random numbers'} was in another state at step"
            f" {first.step:,}: the script seeds it from outside the program (a clock, os.urandom), or draws"
            " from it another number of times; seed it with the job's seed"
        )
        found.append((_Rank.PROVEN, Cause(kind=CauseKind.SCRIPT, text=text)))
    return found


def _writing(original: RunRecord, evidence: Evidence) -> Cause:
    names = [f"{item.path} {_place(item)}".strip() for item in evidence.files]
    names += [f"metric {item.name}" for item in evidence.metrics]
    steps = evidence.traced.steps if evidence.traced else 0
    text = (
        f"training is the same to the bit ({count(steps, 'step')}); only what is written beside or after it"
        f" differs ({listed(names, FIELDS_IN_TEXT)}): look for a clock, a duration, a path or an unsorted set"
        " in it"
    )
    lines = advice(original, evidence.marks)
    text += f"; what differs by nature is marked in the job file: {lines}" if lines else ""
    return Cause(kind=CauseKind.WRITING, text=text)


def _place(item: FileDifference) -> str:
    if item.first_byte is None:
        return f"({item.note})"
    return f"from byte {item.first_byte:,}" + (f", {item.note}" if item.note.startswith(CLOCK) else "")


def _data_order(first: TraceDifference, reordered: bool) -> Cause:
    if reordered:
        what = f"the same batches came in another order from step {first.step:,} on"
    else:
        what = f"the batch of step {first.step:,} held other samples, or the same prepared in another way"
    text = (
        f"{what}: sort lists of files (listdir and glob have no order), iterate over no sets, and shuffle and"
        " augment only with generators seeded by the job's seed"
    )
    return Cause(kind=CauseKind.DATA_ORDER, text=text)


def _hash_seed(original: RunRecord, rerun: RunRecord) -> Cause | None:
    """The cause where Python's hash seed was not the same: it orders sets of strings."""
    a, b = _in_force(original, 0), _in_force(rerun, 0)
    unequal = [name for name in HASH_SEED if name in a and name in b and repr(a[name]) != repr(b[name])]
    if not unequal and not (a.get(HASH_SEED[1]) == b.get(HASH_SEED[1]) == 1):
        return None
    fields = _beside(unequal or [HASH_SEED[1]], a, b)
    text = (
        f"Python's hash seed was not the same ({_sides(fields)}), and it orders sets of strings: start python"
        " without -E and -I, which ignore PYTHONHASHSEED, leave that variable alone, and sort sets"
    )
    return Cause(kind=CauseKind.FLAGS, text=text, fields=fields)


def _flags(original: RunRecord, rerun: RunRecord, evidence: Evidence) -> list[_Ranked]:
    """From what the processes that train read back."""
    rank = evidence.first.rank if evidence.first else 0
    a, b = _in_force(original, rank), _in_force(rerun, rank)
    moved = _moved(original, rank) | _moved(rerun, rank)
    names = [
        name
        for name in sorted(a.keys() & b.keys())
        if repr(a[name]) != repr(b[name]) and name not in (*OURS, *HASH_SEED)
    ]
    names += [name for name in sorted(a.keys() ^ b.keys()) if name.startswith("library.") and a and b]
    groups: dict[CauseKind, list[str]] = {}
    for name in names:
        groups.setdefault(_kind_of(name, moved), []).append(name)
    found: list[_Ranked] = [
        (
            _Rank.SOFT if all(map(_soft, group)) else _RANKS[kind],
            _flag_cause(kind, group, a, b, moved),
        )
        for kind, group in groups.items()
    ]
    away = sorted(name for name, bad in _AWAY.items() if name in moved and a.get(name) is b.get(name) is bad)
    if away:
        fields = {name: " -> ".join(map(flag_word, moved[name])) for name in away}
        text = (
            f"the script itself moved {listed([f'{name} {move}' for name, move in fields.items()])} in both"
            " runs, so operations may take nondeterministic forms: leave it as Reprise sets it"
        )
        found.append((_Rank.MOVED, Cause(kind=CauseKind.FLAGS_CHANGED, text=text, fields=fields)))
    return found


def _in_force(run: RunRecord, rank: int) -> dict[str, Any]:
    readback = training_readback(run, rank)
    return last_flags(readback) if readback else {}


def _moved(run: RunRecord, rank: int) -> dict[str, tuple[Any, Any]]:
    readback = training_readback(run, rank)
    return {name: move for name, move in readback.changed.items() if name not in OURS} if readback else {}


def _kind_of(name: str, moved: dict[str, tuple[Any, Any]]) -> CauseKind:
    if "threads" in name.lower():
        return CauseKind.THREADS
    if name in CAPABILITY or name.endswith(".kernel") or (name.startswith("cuda.") and name[5:6].isdigit()):
        return CauseKind.HARDWARE
    if name in moved:
        return CauseKind.FLAGS_CHANGED
    if name.startswith("library.") or "version" in name or name in ("cuda.cudnn", "cuda.driver"):
        return CauseKind.LIBRARY
    return CauseKind.FLAGS


def _soft(name: str) -> bool:
    """The driver and its libraries, which the box mounts into the container."""
    return name.startswith("library.") or name == "cuda.driver"


_RANKS = {
    CauseKind.THREADS: _Rank.THREADS,
    CauseKind.HARDWARE: _Rank.CAPABILITY,
    CauseKind.FLAGS_CHANGED: _Rank.MOVED,
    CauseKind.FLAGS: _Rank.FLAGS,
    CauseKind.LIBRARY: _Rank.LIBRARY,
}

_ADVICE = {
    CauseKind.THREADS: "sums are added up in another order; leave the count to determinism.threads",
    CauseKind.HARDWARE: "other kernels were chosen; keep determinism.portable_cpu on, or rerun on a like box",
    CauseKind.FLAGS_CHANGED: "leave it as Reprise sets it, or set it alike in every run",
    CauseKind.FLAGS: "Reprise sets it alike in both, so look for what moved it in the script or its launcher",
    CauseKind.LIBRARY: "other code computed; use the same driver and the same mounted libraries",
}


def _flag_cause(
    kind: CauseKind, names: list[str], a: dict[str, Any], b: dict[str, Any], moved: dict[str, Any]
) -> Cause:
    if kind is CauseKind.THREADS:  # torch's own count first: the others follow from it
        names = sorted(names, key=lambda name: (name not in _THREADS_FIRST, name.startswith("env."), name))
        names = [name for name in _THREADS_FIRST if name in names] + [
            name for name in names if name not in _THREADS_FIRST
        ]
    fields = _beside(names, a, b)
    first = names[0]
    more = f", {listed(names[1:], 2)} too" if len(names) > 1 else ""
    by = " (the script set it)" if first in moved else ""
    was, became = (flag_word(flags.get(first))[:100] for flags in (a, b))
    text = f"{first} was {was} in the original and {became} in the rerun{by}{more}: {_ADVICE[kind]}"
    return Cause(kind=kind, text=text, fields=fields)


def _hardware(original: RunRecord, rerun: RunRecord) -> list[_Ranked]:
    found = boxes(original, rerun)
    if found is None:
        return []
    ranked: list[_Ranked] = []
    hard = found.hard | found.unknown
    if hard:
        text = (
            f"the hardware is of another class ({labelled(hard)}), so equal bits are not promised: rerun on a"
            " box of the same class; `reprise rerun --predict` says which is"
        )
        ranked.append((_Rank.HARDWARE, Cause(kind=CauseKind.HARDWARE, text=text, fields=_fields(hard))))
    if found.soft:
        text = f"a soft reason, which seldom moves bits: {labelled(found.soft)}"
        ranked.append((_Rank.SOFT, Cause(kind=CauseKind.HARDWARE, text=text, fields=_fields(found.soft))))
    return ranked


def _fields(pairs: Mapping[str, tuple[Any, Any]]) -> dict[str, str]:
    return {name: sides(pairs[name]) for name in list(pairs)[:FIELDS_KEPT]}


def _script(original: RunRecord, rerun: RunRecord, evidence: Evidence) -> Cause:
    """The cause that remains where no other was found."""
    unknown = [run for run in (original, rerun) if run.fingerprint is None]
    alike = "hardware that is not known" if unknown else "the same class of hardware"
    flags = all(training_readback(run) is not None for run in (original, rerun))
    what = f"the same program on {alike} {'with the same flags' if flags else 'with flags that nobody read'}"
    return Cause(
        kind=CauseKind.SCRIPT,
        text=f"{what}: the script itself is nondeterministic; {_advice(original, rerun, evidence)}",
    )


def _advice(original: RunRecord, rerun: RunRecord, evidence: Evidence) -> str:
    first, level = evidence.first, original.program.determinism.level
    if evidence.unlike.startswith("step count"):
        return "it stops after another number of steps, so look for a clock or a time limit in it"
    if first is None:
        return "look for a clock, os.urandom, an unseeded generator or threads that race in it"
    if first.note in (OTHER_PATH, OTHER_SHAPES):
        return "it took another path there, so look for a branch on a clock, on set order or on a race"
    if first.note.startswith(GENERATOR_TOO):
        return "its generators differ too, so it seeds them from outside the program (a clock, os.urandom)"
    if first.phase is Phase.INIT:
        return "weights differ before the first step, so look for an unseeded generator or unset memory"
    if level is not Level.STRICT:
        return f"determinism.level is {level.value}; strict would refuse what is not deterministic"
    return f"`reprise compare --operations {original.id} {rerun.id}` names the operation"


def _beside(names: list[str], a: dict[str, Any], b: dict[str, Any]) -> dict[str, str]:
    return {
        name: f"{flag_word(a.get(name))[:100]} vs {flag_word(b.get(name))[:100]}"
        for name in names[:FIELDS_KEPT]
    }


def _sides(fields: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items())
