"""Is this box of the class of that one? A table of what differs, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.digest import Digest
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Failure, Fingerprint, State
from orchestrator.spec.jobfile.job_spec import Determinism, Level
from orchestrator.verdict.predict_bits import Expected, Prediction, class_differences, predict

Make = Callable[..., RunRecord]

AVX2 = ["sse4_2", "avx", "avx2", "fma"]
AVX512 = [*AVX2, "avx512f", "avx512bw", "avx512vl"]
H100 = {"name": "NVIDIA H100 80GB HBM3", "compute": "9.0", "sms": 132, "memory": 85_000, "mig": False}
CPU: dict[str, Any] = {
    "gpus": [],
    "driver": None,
    "vbios": [],
    "world_size": 0,
    "cpu_vendor": "GenuineIntel",
    "cpu_isa": AVX512,
    "machine": "x86_64",
}
GPU = CPU | {"gpus": [H100, H100], "driver": "550.1", "vbios": ["96.00"], "world_size": 2}
SEEN = {"torch.cpu_capability": "AVX2", "torch.mkl_threads": 1, "torch.num_threads": 1}


@pytest.fixture
def made(record: Make) -> Callable[..., RunRecord]:
    """`made(GPU, gpus=2, level=...)`: a run on such a box; keywords change the program."""

    def make(
        bits: dict[str, Any], effective: dict[str, Any] = SEEN, gpus: int = 0, **changes: Any
    ) -> RunRecord:
        asked = {name: changes.pop(name) for name in ("level", "portable_cpu") if name in changes}
        program = record().program.model_copy(
            update={"gpus": gpus, "env": changes.pop("env", {}), "determinism": Determinism(**asked)}
        )
        print_ = Fingerprint(
            bit_class=bits | {"effective": effective},
            perf_class={},
            identity={},
            bit_digest=Digest.of(repr(bits).encode()),
        )
        return record(program=program, fingerprint=print_, **changes)

    return make


def other_gpu(number: int, **fields: Any) -> dict[str, Any]:
    gpus = [dict(gpu) for gpu in GPU["gpus"]]
    gpus[number] |= fields
    return GPU | {"gpus": gpus}


def check(found: Prediction, hard: list[str], soft: list[str]) -> None:
    assert sorted(found.fields) == sorted(hard)
    assert sorted(found.soft) == sorted(soft)
    assert found.same is not bool(hard)
    assert found.exit_code == (4 if hard else 0)
    assert found.expected is (Expected.NOT_PROMISED if hard else Expected.BITWISE)
    assert "guarantee" not in str(found)


@pytest.mark.parametrize(
    ("here", "hard", "soft"),
    [
        (CPU, [], []),
        (CPU | {"cpu_isa": AVX2}, [], ["cpu_isa"]),
        (CPU | {"cpu_isa": ["sse4_2", "avx"]}, ["cpu_isa"], []),
        (CPU | {"cpu_isa": ["avx512f", *AVX2, "avx512bw", "avx512vl"]}, [], []),
        (CPU | {"cpu_vendor": "AuthenticAMD"}, ["cpu_vendor"], []),
        (CPU | {"machine": "aarch64", "cpu_isa": []}, ["machine", "cpu_isa"], []),
        (GPU, [], []),  # a job without GPUs is given none, whatever the box has
    ],
)
def test_a_job_on_the_cpu(made: Make, here: dict[str, Any], hard: list[str], soft: list[str]) -> None:
    check(predict(made(CPU), here), hard, soft)


@pytest.mark.parametrize(
    ("here", "hard", "soft"),
    [
        (GPU, [], []),
        (GPU | {"driver": "560.2"}, [], ["driver"]),
        (GPU | {"vbios": ["97.00"]}, [], ["vbios"]),
        (GPU | {"driver": "560.2", "cpu_isa": AVX2}, [], ["driver", "cpu_isa"]),
        (other_gpu(1, name="NVIDIA H200"), ["gpus.1.name"], []),
        (other_gpu(0, sms=114), ["gpus.0.sms"], []),
        (other_gpu(0, sms=None), [], ["gpus.0.sms"]),
        (other_gpu(0, compute="8.0"), ["gpus.0.compute"], []),
        (other_gpu(0, mig=True), ["gpus.0.mig"], []),
        (other_gpu(0, memory=80_000), [], ["gpus.0.memory"]),
        (GPU | {"gpus": [H100], "world_size": 1}, ["gpus"], []),
        (CPU, ["gpus"], []),
        (GPU | {"cpu_vendor": "AuthenticAMD"}, ["cpu_vendor"], []),  # weights are initialised on the CPU
    ],
)
def test_a_job_on_gpus(made: Make, here: dict[str, Any], hard: list[str], soft: list[str]) -> None:
    check(predict(made(GPU, gpus=2), here), hard, soft)


@pytest.mark.parametrize(
    ("program", "effective", "vendor", "soft"),
    [
        ({}, SEEN, "GenuineIntel", True),
        ({}, {}, "AuthenticAMD", True),  # no MKL in it, as far as is known
        ({}, SEEN, "AuthenticAMD", False),
        ({"portable_cpu": False}, SEEN, "GenuineIntel", False),
        ({"level": Level.OFF}, SEEN, "GenuineIntel", False),
        ({"env": {"MKL_CBWR": "AUTO"}}, SEEN, "GenuineIntel", False),
        ({"env": {"OTHER": "1"}}, SEEN, "GenuineIntel", True),
        ({}, SEEN | {"torch.cpu_capability": "AVX512"}, "GenuineIntel", False),
        ({}, SEEN | {"numpy.cpu_features": "X86_V3 X86_V4"}, "GenuineIntel", False),
        ({}, SEEN | {"numpy.cpu_features": "X86_V3"}, "GenuineIntel", True),
    ],
)
def test_instruction_sets_are_soft_only_where_the_profile_holds(
    made: Make, program: dict[str, Any], effective: dict[str, Any], vendor: str, soft: bool
) -> None:
    there = CPU | {"cpu_vendor": vendor}
    found = predict(made(there, effective, **program), there | {"cpu_isa": AVX2})
    assert found.same is soft
    assert ("cpu_isa" in found.soft) is soft
    assert (found.soft or found.fields)["cpu_isa"] == ("avx512f avx512bw avx512vl", "none")
    assert ("expected the same under the portable CPU profile" in str(found.reasons)) is soft


def test_the_sm_count_that_the_driver_did_not_tell_is_the_one_that_torch_read(made: Make) -> None:
    there = GPU | {"gpus": [H100 | {"sms": None}], "world_size": 1}
    seen = SEEN | {"cuda.0.multi_processor_count": 132}
    one = GPU | {"gpus": [H100], "world_size": 1}
    check(predict(made(there, seen, gpus=1), one), [], [])
    less = one | {"gpus": [H100 | {"sms": 114}]}
    check(predict(made(there, seen, gpus=1), less), ["gpus.0.sms"], [])


@pytest.mark.parametrize(
    ("level", "gpus", "expected"),
    [
        (Level.STRICT, 2, Expected.BITWISE),
        (Level.WARN, 2, Expected.NOT_PROMISED),
        (Level.WARN, 0, Expected.BITWISE),
        (Level.OFF, 0, Expected.NOT_PROMISED),
    ],
)
def test_one_class_is_not_enough_without_settings(
    made: Make, level: Level, gpus: int, expected: Expected
) -> None:
    bits = GPU if gpus else CPU
    found = predict(made(bits, gpus=gpus, level=level), bits)
    assert (found.same, found.expected, found.exit_code) == (True, expected, 0)


def test_what_is_not_recorded_is_not_known(made: Make, record: Make) -> None:
    bare = predict(record(fingerprint=None), CPU)
    assert (bare.same, bare.expected, bare.exit_code) == (False, Expected.UNKNOWN, 4)
    older = {name: value for name, value in CPU.items() if name != "cpu_vendor"}
    found = predict(made(older), CPU)
    assert (found.same, found.expected) == (False, Expected.UNKNOWN)
    assert found.fields == {"cpu_vendor": (None, "GenuineIntel")}
    newer = predict(made(CPU | {"cache": 7}), CPU)
    assert (newer.same, newer.expected) == (False, Expected.UNKNOWN)
    both = predict(made(older), CPU | {"machine": "aarch64"})
    assert both.expected is Expected.NOT_PROMISED, "a known difference weighs more than an unknown field"


def test_the_same_box_is_said_to_be_so(made: Make) -> None:
    run = made(CPU, box="me")
    assert predict(run, CPU, "me").same_box
    assert not predict(run, CPU, "you").same_box
    assert "as when it made run" in predict(run, CPU, "me").summary


def test_an_original_that_failed_leaves_a_doubt(made: Make) -> None:
    run = made(CPU, state=State.FAILED, failure=Failure.JOB, exit_code=1)
    assert "nothing to be compared with" in str(predict(run, CPU).reasons)


def test_what_libraries_saw_counts_between_two_runs(made: Make) -> None:
    run = made(CPU)
    here = CPU | {"effective": SEEN | {"torch.num_threads": 2, "library./usr/lib/libcuda.so": "ab"}}
    found = class_differences(run.program, CPU | {"effective": SEEN}, here)
    assert found.hard == {"effective.torch.num_threads": (1, 2)}
    assert list(found.unknown) == ["effective.library./usr/lib/libcuda.so"]
