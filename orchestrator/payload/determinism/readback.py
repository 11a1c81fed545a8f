"""Reads the settings in force in this process: flat names, JSON scalars. Reading changes nothing.

Names: `env.*` the environment's settings, as this process sees them now; `python.*`; `torch.*`, `cudnn.*`,
`mkldnn.*`, `matmul.*`, `sdp.*`, `tf32.*` from torch's getters; `cuda.*` only once the job has initialised
CUDA, which this never does; `numpy.*`, `openblas.*`; `library.<path>` the SHA-256 of a library that came
from outside the image. `absent` means that this version has no such getter, `unreadable: …` that it raised.
"""

from __future__ import annotations

import os
import sys

from .torch_settings import FP32, SETTING_NAMES

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_interop: object = None  # the size of torch's inter-op pool when torch had just been imported

MAX_DEVICES = 16  # GPUs described; no box of today has more


def flags(libraries: bool = True) -> dict[str, object]:
    """`libraries`: with those of the mapped libraries, which take some milliseconds to find."""
    found: dict[str, object] = {f"env.{name}": os.environ.get(name) for name in SETTING_NAMES}
    found["python.version"] = sys.version.split()[0]
    # 0 where PYTHONHASHSEED=0 was heeded; 1 under `python -E` or `-I`, which do not read it.
    found["python.hash_randomization"] = sys.flags.hash_randomization
    torch = sys.modules.get("torch")
    if torch is not None:
        _torch(torch, found)
        _threads(torch, found)
        _cuda(torch, found)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        _numpy(numpy, found)
    if libraries and (torch is not None or numpy is not None):
        from . import mapped_libraries

        found.update(mapped_libraries.openblas())
        found.update(mapped_libraries.outside())
    return found


_TORCH = {
    "torch.version": "__version__",
    "torch.version.cuda": "version.cuda",
    "torch.default_dtype": "get_default_dtype()",
    "torch.deterministic_algorithms": "are_deterministic_algorithms_enabled()",
    "torch.deterministic_warn_only": "is_deterministic_algorithms_warn_only_enabled()",
    "torch.fill_uninitialized_memory": "utils.deterministic.fill_uninitialized_memory",
    "torch.cpu_capability": "backends.cpu.get_cpu_capability()",
    "torch.num_threads": "get_num_threads()",
    "cudnn.enabled": "backends.cudnn.enabled",
    "cudnn.deterministic": "backends.cudnn.deterministic",
    "cudnn.benchmark": "backends.cudnn.benchmark",
    "mkldnn.enabled": "backends.mkldnn.enabled",
    "mkldnn.deterministic": "backends.mkldnn.deterministic",
    "matmul.fp16_reduced_precision": "backends.cuda.matmul.allow_fp16_reduced_precision_reduction",
    "matmul.fp16_split_k": "backends.cuda.matmul.allow_fp16_reduced_precision_reduction_split_k",
    "matmul.bf16_reduced_precision": "backends.cuda.matmul.allow_bf16_reduced_precision_reduction",
    "matmul.bf16_split_k": "backends.cuda.matmul.allow_bf16_reduced_precision_reduction_split_k",
    "matmul.fp16_accumulation": "backends.cuda.matmul.allow_fp16_accumulation",
    "sdp.math_reduction_fp16_bf16": "backends.cuda.fp16_bf16_reduction_math_sdp_allowed()",
    "sdp.flash": "backends.cuda.flash_sdp_enabled()",
    "sdp.mem_efficient": "backends.cuda.mem_efficient_sdp_enabled()",
    "sdp.math": "backends.cuda.math_sdp_enabled()",
    "sdp.cudnn": "backends.cuda.cudnn_sdp_enabled()",
    "tf32.matmul_precision": "get_float32_matmul_precision()",
    "tf32.matmul": "backends.cuda.matmul.allow_tf32",
    "tf32.cudnn": "backends.cudnn.allow_tf32",
}

_CUDA = {
    "cuda.cudnn": "backends.cudnn.version()",
    "cuda.driver": "_C._cuda_getDriverVersion()",
    # Their defaults depend on the device, so asking before CUDA is initialised would initialise it.
    "cuda.cublas_workspace": "backends.cuda.cublas_workspace_size()",
    "cuda.cublaslt_workspace": "backends.cuda.cublaslt_workspace_size()",
    "cuda.blas_library": "backends.cuda.preferred_blas_library()",
    "cuda.linalg_library": "backends.cuda.preferred_linalg_library()",
    "cuda.devices": "cuda.device_count()",
}


def _torch(torch: Any, found: dict[str, object]) -> None:
    for name, path in _TORCH.items():
        found[name] = _ask(torch, path)
    for backend, operation in FP32:
        found[f"tf32.{backend}.{operation}"] = _fp32(torch, backend, operation)
    inductor = sys.modules.get("torch._inductor.config")
    if inductor is not None:
        found["inductor.deterministic"] = _ask(inductor, "deterministic")
    else:  # what it will read when something imports it: that takes a second, so we do not
        found["inductor.deterministic"] = os.environ.get("TORCHINDUCTOR_DETERMINISTIC") == "1"


def _fp32(torch: Any, backend: str, operation: str) -> object:
    return _try(lambda: torch._C._get_fp32_precision_getter(backend, operation))


def _threads(torch: Any, found: dict[str, object]) -> None:
    """The inter-op pool's size where the script has set it; else torch takes the box's number of cores.

    OpenMP's and MKL's own counts, as torch's report prints them: `omp_get_max_threads() : 2`.
    """
    global _interop
    count = _ask(torch, "get_num_interop_threads()")
    if _interop is None:
        _interop = count
    found["torch.num_interop_threads"] = "default" if count == _interop else count
    text = _try(lambda: torch.__config__.parallel_info())
    for line in str(text).splitlines():
        for library in ("omp", "mkl"):
            name, separator, count = line.strip().partition(" : ")
            if separator and name == f"{library}_get_max_threads()" and count.strip().isdigit():
                found[f"torch.{library}_threads"] = int(count)


def _cuda(torch: Any, found: dict[str, object]) -> None:
    if _ask(torch, "cuda.is_initialized()") is not True:
        return
    for name, path in _CUDA.items():
        found[name] = _ask(torch, path)
    count = found["cuda.devices"]
    for index in range(min(count, MAX_DEVICES) if isinstance(count, int) else 0):
        facts = torch.cuda.get_device_properties(index)
        for name in ("name", "major", "minor", "multi_processor_count", "total_memory"):
            found[f"cuda.{index}.{name}"] = _ask(facts, name)


def _numpy(numpy: Any, found: dict[str, object]) -> None:
    found["numpy.version"] = _ask(numpy, "__version__")
    core = sys.modules.get("numpy._core._multiarray_umath") or sys.modules.get("numpy.core._multiarray_umath")
    if core is not None:
        # What it may use beyond its baseline: NPY_DISABLE_CPU_FEATURES, as heeded.
        found["numpy.cpu_features"] = _try(
            lambda: " ".join(name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name))
        )


def _ask(root: Any, path: str) -> object:
    """Follow the attributes of `backends.cudnn.version()`, and call the last where the path ends in ()."""

    def ask() -> Any:
        value = root
        for name in path.removesuffix("()").split("."):
            value = getattr(value, name)
        return value() if path.endswith("()") else value

    return _try(ask)


def _try(ask: Callable[[], Any]) -> object:
    """The value as a scalar; `absent` or `unreadable: …` where it cannot be read."""
    try:
        value = ask()
    except AttributeError:
        return "absent"
    except Exception as error:  # noqa: BLE001 - torch raises many kinds; the answer names it
        return f"unreadable: {type(error).__name__}: {error}"
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
