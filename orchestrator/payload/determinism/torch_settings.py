"""The determinism settings of torch's own interface, and the names of those that the environment holds.

Source of every value: read and measured on PyTorch 2.13, CPU, unless a line says more.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from typing import Any

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # what torch's own count follows

SETTING_NAMES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLASLT_WORKSPACE_SIZE",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_LAUNCH_BLOCKING",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_NUM_THREADS",
    "NCCL_ALGO",
    "NCCL_NVLS_ENABLE",
    "NCCL_PROTO",
    "NPY_DISABLE_CPU_FEATURES",
    "NUMEXPR_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "NVTE_ALLOW_NONDETERMINISTIC_ALGO",
    "OMP_DYNAMIC",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHASHSEED",
    "PYTHONUNBUFFERED",
    "TF_DETERMINISTIC_OPS",
    "TORCHINDUCTOR_DETERMINISTIC",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_BLAS_PREFER_CUBLASLT",
    "TORCH_CUBLASLT_UNIFIED_WORKSPACE",
    "TORCH_LINALG_PREFER_CUSOLVER",
    "XLA_FLAGS",
)
"""Every environment variable that the read-back reports: those of the image's settings, and some that are not
set, because a job or a base that sets one of them may move bits."""

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
    """Set torch's own determinism settings. Returns those not set: name -> "absent" or the error.

    An attribute that this torch does not have (2.4 to 2.13 differ) is in the answer, so that the record
    shows it; the others are set anyway. At level `off` only the thread count is set.
    Functions that torch allows to be called once only, such as set_num_interop_threads, are left to the
    script. The inter-op pool runs complete tasks, so its size changes no bits.
    """
    unset: dict[str, str] = {}
    # A different count in the environment was set by the script, for torch.
    if all(os.environ.get(name) == str(threads) for name in _THREADS):
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

    That configuration reads TORCHINDUCTOR_DETERMINISTIC at its import, so it is set only where it was
    imported before.
    """
    import sys

    _call(torch, "_C._set_deterministic_algorithms", (True,), unset, warn_only=warn_only)
    inductor = sys.modules.get("torch._inductor.config")
    if inductor is not None:
        _assign(inductor, "deterministic", True, unset)


def _assign(root: Any, path: str, value: Any, unset: dict[str, str]) -> None:
    """Set `root.path`. Assigning an absent name would create it silently, so the name is read first."""
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
