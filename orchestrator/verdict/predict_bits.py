"""Predicts, before anything runs, whether this box gives the bits of an earlier run: by their bit classes.

What follows from the image (libraries, determinism settings, thread counts) is the same for the same digest,
so only what a host shows is compared. Nothing here is a guarantee: cuBLAS promises the same bits for the
same toolkit, architecture and SM count, cuDNN promises nothing across architectures, and a script may do what
it likes. MKL_CBWR=AVX2 is heeded on Intel CPUs only (Intel's guide to MKL, "Getting Started with Conditional
Numerical Reproducibility").
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.errors import ExitCode
from orchestrator.message_wording import listed
from orchestrator.record.run_record import RunRecord
from orchestrator.spec.jobfile.job_spec import Level
from orchestrator.spec.program import Program
from orchestrator.structural_difference import unequal_names
from orchestrator.value import Value
from orchestrator.verdict.comparability import failure_of

Cell = bool | int | float | str | None
Pair = tuple[Cell, Cell]
"""A field there (the original's box) and here; None where it is absent."""


class Expected(StrEnum):
    BITWISE = "bitwise"
    NOT_PROMISED = "not promised"
    UNKNOWN = "unknown"


class Prediction(Value):
    """Whether two boxes are of one class, and what may be expected of a rerun. Nothing is certain."""

    original: str | None  # run id; None: no run to compare with is known
    same: bool
    expected: Expected
    summary: str
    fields: dict[str, Pair] = {}  # that can move bits and differ: name -> (there, here)
    soft: dict[str, Pair] = {}  # that differ and are not expected to move bits
    reasons: tuple[str, ...] = ()
    same_box: bool = False

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.OK if self.same else ExitCode.NOT_COMPARABLE


class Differences(NamedTuple):
    """Fields of two bit classes that differ; `unknown` are those that one of the two does not have."""

    hard: dict[str, Pair]
    soft: dict[str, Pair]
    unknown: dict[str, Pair]
    reasons: tuple[str, ...]


def predict(original: RunRecord, here: Mapping[str, Any], here_box: str | None = None) -> Prediction:
    """`here`: `run.hardware.host_bits` of the GPUs that a rerun would use; `here_box`: this box's id."""
    if original.fingerprint is None:
        return unknown(f"run {original.id} recorded no hardware, so nothing can be expected", original.id)
    program, there = original.program, original.fingerprint.bit_class
    found = class_differences(program, there, here)
    same_box = here_box is not None and original.box == here_box
    whose = f"the box of run {original.id}" if not same_box else f"when it made run {original.id}"
    same, expected = False, Expected.NOT_PROMISED
    if found.hard:
        fields = listed_pairs(found.hard)
        summary = f"this box is of another bit class than {whose}, so equal bits are not promised: {fields}"
    elif found.unknown:
        expected = Expected.UNKNOWN
        fields = listed(sorted(found.unknown))
        summary = f"run {original.id} was recorded with other facts, so nothing can be expected: {fields}"
    else:
        same = True
        loose = _loose(program)
        expected = Expected.NOT_PROMISED if loose else Expected.BITWISE
        outcome = f"but {loose}" if loose else "so equal bits are expected"
        summary = f"this box is of the same bit class as {whose}, {outcome}"
    return Prediction(
        original=original.id,
        same=same,
        expected=expected,
        summary=summary,
        fields=found.hard | found.unknown,
        soft=found.soft,
        reasons=(*found.reasons, *_doubts(original)),
        same_box=same_box,
    )


def unknown(why: str, original: str | None = None) -> Prediction:
    """The prediction that nothing can be said; `why` is a sentence."""
    return Prediction(original=original, same=False, expected=Expected.UNKNOWN, summary=why)


def cannot_run(original: RunRecord, why: str, there: str, here: str) -> Prediction:
    """This box lacks the GPUs that a rerun asks for: `there` and `here` name what each has."""
    return Prediction(
        original=original.id,
        same=False,
        expected=Expected.NOT_PROMISED,
        summary=f"this box cannot run it: {why}",
        fields={"gpus": (there, here)},
    )


def class_differences(program: Program, there: Mapping[str, Any], here: Mapping[str, Any]) -> Differences:
    """Two bit classes of one program, as `Fingerprint.bit_class` has them.

    `effective`, which only a container shows, is compared where both have it. Fields of GPUs do not count
    for a program without GPUs.
    """
    reasons: dict[str, None] = {}
    hard: dict[str, Pair] = {}
    soft: dict[str, Pair] = {}
    unknown_: dict[str, Pair] = {}
    for name, pair in _pairs(program, there, here).items():
        if None in pair and name not in _MAY_BE_ABSENT and not name.endswith(".sms"):
            unknown_[name] = pair
            continue
        is_soft, reason = _weigh(name, pair, program, there, here)
        (soft if is_soft else hard)[name] = pair
        if reason:
            reasons[reason] = None
    return Differences(hard, soft, unknown_, tuple(reasons))


_GPU_FIELDS = ("gpus", "driver", "vbios", "world_size")
_MAY_BE_ABSENT = ("driver",)  # where no GPU is used


def _pairs(program: Program, there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, Pair]:
    """Differing fields, flat: `gpus.0.sms`, `cpu_isa` as the flags that only one of the two has."""
    pairs: dict[str, Pair] = {}
    for name in unequal_names(there, here):
        if name == "effective" or name == "gpus" or (name in _GPU_FIELDS and not program.gpus):
            continue
        a, b = there.get(name), here.get(name)
        if isinstance(a, list) and isinstance(b, list):
            a, b = [item for item in a if item not in b], [item for item in b if item not in a]
            if not a and not b:  # the same in another order
                continue
        pairs[name] = (plain(a), plain(b))
    if program.gpus:
        pairs |= _gpu_pairs(there, here)
        if "gpus" in pairs:  # what follows from another number of them says nothing more
            pairs = {name: pair for name, pair in pairs.items() if name not in _GPU_FIELDS[1:]}
    left, right = there.get("effective") or {}, here.get("effective") or {}
    if left and right:
        for name in unequal_names(left, right):
            if program.gpus or not name.startswith("cuda."):
                pairs[f"effective.{name}"] = (plain(left.get(name)), plain(right.get(name)))
    return dict(sorted(pairs.items()))


def _gpu_pairs(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, Pair]:
    """GPU by GPU in the order in which ranks get them: the order of ranks moves bits."""
    left, right = _gpus(there), _gpus(here)
    if len(left) != len(right):
        return {"gpus": (gpu_names(left), gpu_names(right))}
    return {
        f"gpus.{number}.{name}": (plain(a.get(name)), plain(b.get(name)))
        for number, (a, b) in enumerate(zip(left, right, strict=True))
        for name in unequal_names(a, b)
    }


def _gpus(bits: Mapping[str, Any]) -> list[dict[str, Any]]:
    """With the SM count that torch read in the container, where the driver did not tell it."""
    effective = bits.get("effective") or {}
    return [
        gpu | {"sms": gpu.get("sms") or effective.get(f"cuda.{number}.multi_processor_count")}
        for number, gpu in enumerate(bits.get("gpus") or ())
    ]


def gpu_names(gpus: list[dict[str, Any]]) -> str:
    """`NVIDIA H100, NVIDIA H100`; `none`."""
    return ", ".join(str(gpu.get("name", "GPU")) for gpu in gpus) or "none"


def _weigh(
    name: str, pair: Pair, program: Program, there: Mapping[str, Any], here: Mapping[str, Any]
) -> tuple[bool, str]:
    """Whether a differing field is soft, and the reason in words."""
    part = name.rpartition(".")[2] if name.startswith("gpus.") else name
    if part == "cpu_isa":
        obstacle = _not_pinned(program, there, here)
        if obstacle is None:
            return True, "expected the same under the portable CPU profile, which keeps both boxes to AVX2"
        return False, f"CPU libraries choose their code by the instruction set, and {obstacle}"
    if part == "memory" and program.determinism.level is not Level.OFF:
        return True, "another memory size is a soft reason: the workspaces of the libraries are pinned"
    if part == "sms" and None in pair:
        return True, "the number of SMs is known of one box only; the model says the rest"
    return _WEIGHTS.get(part, (name.startswith(_SOFT_EFFECTIVE), ""))


_SOFT_EFFECTIVE = ("effective.cuda.driver", "effective.library.")
_WEIGHTS: dict[str, tuple[bool, str]] = {
    "driver": (
        True,
        "another driver is a soft reason: the CUDA libraries are in the image, but libcuda and the"
        " compilation of PTX are the host's",
    ),
    "vbios": (True, "another VBIOS is a soft reason"),
    "gpus": (False, "another number of GPUs changes the order of sums"),
    "name": (False, "no library promises equal bits across GPU models"),
    "compute": (False, "cuBLAS promises equal bits within one GPU architecture only"),
    "sms": (False, "cuBLAS promises equal bits for the same number of SMs only"),
    "mig": (False, "a MIG slice has fewer SMs than the whole GPU"),
    "cpu_vendor": (
        False,
        "CPU libraries choose their code by the maker of the CPU, where weights are mostly initialised",
    ),
    "machine": (False, "another machine architecture runs other code"),
}
_PROFILE = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "NPY_DISABLE_CPU_FEATURES",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)


def _not_pinned(program: Program, there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Why the portable CPU profile does not make two instruction sets alike; None where it does."""
    asked = program.determinism
    if not asked.portable_cpu or asked.level is Level.OFF:
        return "the job ran without the portable CPU profile (determinism.portable_cpu)"
    moved = [name for name in _PROFILE if name in program.env]
    if moved:
        return f"the job's env overrides the portable CPU profile ({', '.join(moved)})"
    for whose, bits in (("the original's", there), ("this", here)):
        lacking = [flag for flag in ("avx2", "fma") if flag not in (bits.get("cpu_isa") or ())]
        if lacking:
            return f"{whose} box lacks {' and '.join(lacking)}, which the portable CPU profile needs"
    effective = (there.get("effective") or {}) | (here.get("effective") or {})
    capability = effective.get("torch.cpu_capability", "AVX2")
    if capability != "AVX2":
        return f"torch in the job used {capability} in spite of the portable CPU profile"
    if any(word in str(effective.get("numpy.cpu_features", "")) for word in ("X86_V4", "AVX512")):
        return "numpy in the job used AVX-512 in spite of the portable CPU profile"
    vendor = there.get("cpu_vendor")
    if "torch.mkl_threads" in effective and vendor != "GenuineIntel":
        return f"MKL heeds the portable CPU profile on Intel CPUs only, and these are {vendor or 'not known'}"
    return None


def _loose(program: Program) -> str | None:
    """Why even one box is not expected to give the same bits twice."""
    level = program.determinism.level
    if level is Level.OFF:
        return "equal bits are not promised on any box: determinism.level is off"
    if level is Level.WARN and program.gpus:
        return "equal bits are not promised on any GPU: determinism.level is warn"
    return None


def _doubts(original: RunRecord) -> list[str]:
    failure = failure_of(original)
    return [f"run {original.id} {failure}, so a rerun has nothing to be compared with"] if failure else []


def plain(value: Any) -> Cell:
    """A value of a fingerprint as one cell: a list as its words."""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def listed_pairs(pairs: Mapping[str, Pair], limit: int = 3) -> str:
    """`cpu_vendor (GenuineIntel vs AuthenticAMD), machine (x86_64 vs absent) and 2 more`."""
    words = {name: ["absent" if value is None else str(value) for value in pairs[name]] for name in pairs}
    return listed([f"{name} ({there} vs {here})" for name, (there, here) in words.items()], limit)
