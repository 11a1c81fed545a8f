"""The determinism settings that an image's environment holds."""

from __future__ import annotations

import pytest

from orchestrator.image.determinism_settings import environment


def test_strict_has_every_setting() -> None:
    env = environment("strict", 2, True, 5)
    wanted = {
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "CUBLASLT_WORKSPACE_SIZE": "32768",
        "NVIDIA_TF32_OVERRIDE": "0",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0",
        "NCCL_ALGO": "Ring",
        "NCCL_PROTO": "Simple",
        "NCCL_NVLS_ENABLE": "0",
        "NVTE_ALLOW_NONDETERMINISTIC_ALGO": "0",
        "XLA_FLAGS": "--xla_gpu_deterministic_ops=true",
        "TF_DETERMINISTIC_OPS": "1",
        "TORCHINDUCTOR_DETERMINISTIC": "1",
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "NUMEXPR_NUM_THREADS": "2",
        "OMP_DYNAMIC": "FALSE",
        "MKL_DYNAMIC": "FALSE",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2,STRICT",
        "OPENBLAS_CORETYPE": "Haswell",
        "REPRISE_LEVEL": "strict",
        "REPRISE_SEED": "5",
        "REPRISE_THREADS": "2",
    }
    assert {name: env.get(name) for name in wanted} == wanted


def test_warn_sets_the_same_environment_but_for_its_name() -> None:
    strict, warn = environment("strict", 1, True, 0), environment("warn", 1, True, 0)
    assert strict | {"REPRISE_LEVEL": "warn"} == warn


def test_off_pins_only_threads_and_seeds() -> None:
    env = environment("off", 3, True, 0)
    assert env["OMP_NUM_THREADS"] == "3"
    assert env["PYTHONHASHSEED"] == "0"
    for name in ("CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "ATEN_CPU_CAPABILITY", "NCCL_ALGO"):
        assert name not in env


def test_the_portable_profile_is_separate() -> None:
    gone = environment("strict", 1, True, 0).keys() - environment("strict", 1, False, 0).keys()
    assert gone == {
        "ATEN_CPU_CAPABILITY",
        "ONEDNN_MAX_CPU_ISA",
        "MKL_CBWR",
        "OPENBLAS_CORETYPE",
        "NPY_DISABLE_CPU_FEATURES",
    }


@pytest.mark.parametrize(
    ("version", "has", "has_not"),
    [
        (None, "X86_V4", "AVX512F"),
        ("2.4.6", "X86_V4", "AVX512F"),
        ("2.10.0rc1", "X86_V4", "AVX512F"),
        ("3.0.0", "X86_V4", "AVX512F"),
        ("2.3.5", "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR", "X86_V4"),
        ("1.26.4", "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL", "AVX512_SPR"),
        ("nonsense", "X86_V4", "AVX512F"),
    ],
)
def test_numpy_is_spoken_to_in_its_own_names(version: str | None, has: str, has_not: str) -> None:
    names = environment("strict", 1, True, 0, numpy=version)["NPY_DISABLE_CPU_FEATURES"]
    assert has in names
    assert has_not not in names


@pytest.mark.parametrize(("level", "threads"), [("Strict", 1), ("", 1), ("strict", 0)])
def test_nonsense_is_refused(level: str, threads: int) -> None:
    with pytest.raises(ValueError, match=r"level|threads"):
        environment(level, threads, True, 0)
