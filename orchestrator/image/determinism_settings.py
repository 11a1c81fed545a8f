"""The determinism settings that an image's environment holds, as numbered sets.

An image names the number of its set. A set never changes once it was released: an old image is described,
audited and run again by the set that it was made with. Another setting, or another value, is a new number
(docs/identity.md). Source of every value: measured on PyTorch 2.13, CPU, unless a line says more.
"""

from __future__ import annotations

from collections.abc import Callable

LEVELS = ("strict", "warn", "off")

# For every job, at every level. Bytecode beside a copied source would become an output.
_ALWAYS = {
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_DYNAMIC": "FALSE",
    "MKL_DYNAMIC": "FALSE",
}

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_NUMERIC = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # KiB. torch caps it at the cuBLAS workspace, which the line above makes 8 x 4096 KiB: the same here, so
    # that neither the architecture nor the memory size chooses.
    "CUBLASLT_WORKSPACE_SIZE": "32768",
    "NVIDIA_TF32_OVERRIDE": "0",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0",  # 1 forces TF32 on; a base may have set it
    "TORCHINDUCTOR_DETERMINISTIC": "1",
    "NCCL_ALGO": "Ring",
    "NCCL_PROTO": "Simple",
    "NCCL_NVLS_ENABLE": "0",
    "NVTE_ALLOW_NONDETERMINISTIC_ALGO": "0",
    "XLA_FLAGS": "--xla_gpu_deterministic_ops=true",
    "TF_DETERMINISTIC_OPS": "1",
}

_PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2,STRICT",
    "OPENBLAS_CORETYPE": "Haswell",
}
_NUMPY = "NPY_DISABLE_CPU_FEATURES"


def environment(
    level: str,
    threads: int,
    portable_cpu: bool,
    seed: int,
    numpy: str | None = None,
    trace: tuple[str, int] = ("off", 1),
) -> dict[str, str]:
    """Set 1: the environment of a job, as set in the image's config.

    `threads` is the count for OpenMP, MKL, OpenBLAS, numexpr and torch. `numpy` is the version in the
    image ("2.4.6"; None: 2.4 or later, or no numpy): its names for instruction sets changed in 2.4.
    At level `off` there are no numeric settings, the portable CPU profile included: seeds and thread counts
    only. `trace` is which tensors, and every how many optimizer steps. Raises ValueError for a level that
    does not exist, or a thread count below 1.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown determinism level {level!r}, not one of {', '.join(LEVELS)}")
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, not {threads}")
    env = {"REPRISE_LEVEL": level, "REPRISE_SEED": str(seed), "REPRISE_THREADS": str(threads)}
    if trace[0] != "off":
        env["REPRISE_TRACE"] = f"{trace[0]}:{trace[1]}"
    env |= _ALWAYS | dict.fromkeys(_THREADS, str(threads))
    if level != "off":
        env |= _NUMERIC
        if portable_cpu:
            env |= _PORTABLE | {_NUMPY: _numpy_features(numpy)}
    return env


def _numpy_features(version: str | None) -> str:
    """What numpy must leave alone for AVX2, in the names of that version.

    Names that a version does not know raise an ImportWarning, so `python -W error` could not import numpy,
    and what it does know by another name stays enabled: measured on 1.26.4, 2.2.6, 2.3.5, 2.4.6.
    """
    new = "X86_V4 AVX512_ICL AVX512_SPR"
    if version is None:
        return new
    parts = version.split(".")
    release = (int(parts[0]), int(parts[1])) if len(parts) > 1 and parts[1].isdigit() else (2, 4)
    if release >= (2, 4):
        return new
    old = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
    return f"{old} AVX512_SPR" if release >= (2, 3) else old


SETS: dict[int, Callable[..., dict[str, str]]] = {1: environment}
"""Every set that an image may name."""

NEWEST = max(SETS)
"""The set of images that are assembled now."""
