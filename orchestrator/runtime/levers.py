"""The determinism levers: what is set in the image's environment, and what is set in torch.

Source of every value: shared/reference/determinism.md (PyTorch 2.13, CPU) unless a line says more.
Callable without torch: `environment` is what the orchestrator puts into an image's config.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from typing import Any

LEVELS = ("strict", "warn", "off")

# Wanted by every job, at every level. Bytecode beside a copied source would become an output.
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

# Not set, but read back: a job or a base that sets one of these may move bits.
_WATCHED = (
    "CUDA_LAUNCH_BLOCKING",
    "TORCH_BLAS_PREFER_CUBLASLT",
    "TORCH_CUBLASLT_UNIFIED_WORKSPACE",
    "TORCH_LINALG_PREFER_CUSOLVER",
)

LEVER_NAMES = tuple(sorted((*_ALWAYS, *_THREADS, *_NUMERIC, *_PORTABLE, _NUMPY, *_WATCHED)))
"""Every environment variable that the read-back reports."""


def environment(
    level: str,
    threads: int,
    portable_cpu: bool,
    seed: int,
    numpy: str | None = None,
    trace: tuple[str, int] = ("off", 1),
) -> dict[str, str]:
    """The environment of a job, as set in the image's config.

    `threads` is the count for OpenMP, MKL, OpenBLAS, numexpr and torch. `numpy` is the version in the
    image ("2.4.6"; None: 2.4 or later, or none at all): its names for instruction sets changed in 2.4.
    At level `off` there are no numeric levers, the portable CPU profile included: seeds and thread counts
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


# Order matters for TF32: the old interface first, then the new one, or reading raises (pytorch#179445).
_ATTRIBUTES: tuple[tuple[str, Any], ...] = (
    ("backends.cudnn.deterministic", True),
    ("backends.cudnn.benchmark", False),
    ("backends.mkldnn.deterministic", True),
    ("utils.deterministic.fill_uninitialized_memory", True),
    ("backends.cuda.matmul.allow_fp16_reduced_precision_reduction", False),
    ("backends.cuda.matmul.allow_bf16_reduced_precision_reduction", False),
    ("backends.cuda.matmul.allow_fp16_accumulation", False),
    ("backends.cuda.matmul.allow_tf32", False),
    ("backends.cudnn.allow_tf32", False),
)
_CALLS: tuple[tuple[str, Any], ...] = (
    ("backends.cuda.allow_fp16_bf16_reduction_math_sdp", False),
    ("set_float32_matmul_precision", "highest"),
)
# (backend, operation) of the new precision interface. Not set by attribute: in 2.13 assigning to
# `torch.backends.mkldnn.fp32_precision` sets the generic one (read in source).
FP32 = (
    ("generic", "all"),
    ("cuda", "all"),
    ("cuda", "matmul"),
    ("cuda", "conv"),
    ("cuda", "rnn"),
    ("mkldnn", "all"),
    ("mkldnn", "matmul"),
    ("mkldnn", "conv"),
    ("mkldnn", "rnn"),
)


def apply_torch(torch: Any, level: str, threads: int) -> dict[str, str]:
    """Set every lever of torch's interface. Returns those not set: name -> "absent" or the error.

    An attribute that this torch does not have (2.4 to 2.13 differ) is in the answer, so that the record
    shows it; the others are set all the same. At level `off` only the thread count is set.
    Nothing is called that torch takes once only, such as set_num_interop_threads: that call is the script's.
    The inter-op pool runs whole tasks, so its size moves no bits.
    """
    unset: dict[str, str] = {}
    if all(
        os.environ.get(name) == str(threads) for name in _THREADS[:2]
    ):  # else the script set them, for torch
        _call(torch, "set_num_threads", (threads,), unset)
    if level == "off":
        return unset
    _deterministic_algorithms(torch, level == "warn", unset)
    for path, value in _ATTRIBUTES:
        _assign(torch, path, value, unset)
    for path, value in _CALLS:
        _call(torch, path, (value,), unset)
    for backend, operation in FP32:
        _call(torch, "_C._set_fp32_precision_setter", (backend, operation, "ieee"), unset)
    return unset


def _deterministic_algorithms(torch: Any, warn_only: bool, unset: dict[str, str]) -> None:
    """As `torch.use_deterministic_algorithms`, which takes a second: it imports Inductor's configuration.

    That reads TORCHINDUCTOR_DETERMINISTIC when it is imported, so only one that is there already is set.
    """
    import sys

    _call(torch, "_C._set_deterministic_algorithms", (True,), unset, warn_only=warn_only)
    inductor = sys.modules.get("torch._inductor.config")
    if inductor is not None:
        _assign(inductor, "deterministic", True, unset)


def _assign(root: Any, path: str, value: Any, unset: dict[str, str]) -> None:
    """Set `root.path`. Assigning a name that is not there would make one, in silence: so look first."""
    parent, _, name = path.rpartition(".")
    try:
        owner = _walk(root, parent)
        getattr(owner, name)
        setattr(owner, name, value)
    except AttributeError:
        unset[path] = "absent"
    except (RuntimeError, TypeError, ValueError) as error:
        unset[path] = f"{type(error).__name__}: {error}"


def _call(root: Any, path: str, args: tuple[Any, ...], unset: dict[str, str], **options: Any) -> None:
    try:
        function = _walk(root, path)
    except AttributeError:
        unset[path] = "absent"
        return
    try:
        function(*args, **options)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        unset[path] = f"{type(error).__name__}: {error}"


def _walk(root: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        root = getattr(root, name)
    return root
