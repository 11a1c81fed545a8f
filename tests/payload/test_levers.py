"""The environment that goes into an image, and the levers of a torch that lacks some."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.image.determinism_settings import environment
from orchestrator.payload.levers import LEVER_NAMES, apply_torch


def test_strict_has_every_lever() -> None:
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


def test_every_lever_is_read_back() -> None:
    set_here = {name for name in environment("strict", 1, True, 0) if not name.startswith("REPRISE_")}
    assert set_here <= set(LEVER_NAMES)


def test_the_orchestrator_asks_without_loading_torch_or_the_rest() -> None:
    code = (
        "import orchestrator.payload.levers, sys;"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'numpy', 'pydantic')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def fake_torch(**extra: Any) -> Any:
    """An old torch: no TF32 interface of 2.9, no mkldnn.deterministic."""
    space = SimpleNamespace
    torch = space(
        set_num_threads=lambda count: None,
        set_float32_matmul_precision=lambda text: None,
        _C=space(_set_deterministic_algorithms=lambda mode, *, warn_only: None),
        backends=space(
            cudnn=space(deterministic=False, benchmark=True, allow_tf32=True),
            mkldnn=space(),
            cuda=space(matmul=space(allow_tf32=True)),
        ),
    )
    vars(torch).update(extra)
    return torch


def test_what_a_torch_lacks_is_named_and_the_rest_is_set() -> None:
    torch = fake_torch()
    unset = apply_torch(torch, "strict", 1)
    assert unset["backends.mkldnn.deterministic"] == "absent"
    assert unset["_C._set_fp32_precision_setter"] == "absent"
    assert not hasattr(torch.backends.mkldnn, "deterministic")
    assert torch.backends.cudnn.deterministic is True
    assert torch.backends.cudnn.benchmark is False
    assert torch.backends.cuda.matmul.allow_tf32 is False
    assert "backends.cudnn.deterministic" not in unset


def test_a_lever_that_breaks_is_named_with_its_error() -> None:
    def refuse(text: str) -> None:
        raise RuntimeError("too late")

    unset = apply_torch(fake_torch(set_float32_matmul_precision=refuse), "strict", 1)
    assert unset["set_float32_matmul_precision"] == "RuntimeError: too late"


@pytest.mark.parametrize(("said", "called"), [("3", [3]), ("2", []), (None, [])])
def test_off_leaves_torch_as_it_is_but_for_its_threads(
    monkeypatch: pytest.MonkeyPatch, said: str | None, called: list[int]
) -> None:
    """Of which a script may have said another count in the environment, before it imported torch."""
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    if said is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    counts: list[int] = []
    torch = fake_torch(set_num_threads=counts.append)
    assert apply_torch(torch, "off", 3) == {}
    assert counts == called
    assert torch.backends.cudnn.benchmark is True
