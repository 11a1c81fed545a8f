"""Levers and read-back with the real PyTorch, in real processes (each import costs more than a second)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.torch

STRICT = {
    "torch.deterministic_algorithms": True,
    "torch.deterministic_warn_only": False,
    "torch.fill_uninitialized_memory": True,
    "torch.cpu_capability": "AVX2",
    "torch.num_threads": 2,
    "torch.num_interop_threads": "default",
    "torch.omp_threads": 2,
    "torch.mkl_threads": 2,
    "torch.default_dtype": "torch.float32",
    "cudnn.deterministic": True,
    "cudnn.benchmark": False,
    "mkldnn.deterministic": True,
    "matmul.fp16_reduced_precision": False,
    "matmul.bf16_reduced_precision": False,
    "matmul.fp16_accumulation": False,
    "sdp.math_reduction_fp16_bf16": False,
    "tf32.matmul_precision": "highest",
    "tf32.matmul": False,
    "tf32.cudnn": False,
    "settings.unset": "",
    "env.PYTHONHASHSEED": "0",
    "env.CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "env.TORCH_LINALG_PREFER_CUSOLVER": None,
    "numpy.cpu_features": "X86_V3",
}


@pytest.mark.slow
def test_what_was_set_is_read_back_at_start_and_end(image: Any) -> None:
    code = "import torch, numpy.linalg, sys; print(torch.cuda.is_initialized(), torch.initial_seed())"
    done = image.run("-W", "error", "-c", code, threads=2)
    assert (done.code, done.out, done.err) == (0, "False 7\n", "")
    flags = done.one("start")["flags"]
    assert {name: flags.get(name) for name in STRICT} == STRICT
    precision = {name: value for name, value in flags.items() if name.startswith("tf32.") and "." in name[5:]}
    assert len(precision) == 9
    assert set(precision.values()) == {"ieee"}  # all getters agree, and none raises
    assert not [name for name, value in flags.items() if str(value).startswith(("unreadable", "absent"))]
    assert not [name for name in flags if name.startswith("cuda.")]  # reading did not initialise CUDA
    assert done.changed == {}
    assert not done.all("error")
    end = done.one("end")["flags"]
    assert [end[f"openblas.libscipy_openblas64_.{what}"] for what in ("threads", "kernel")] == [2, "Haswell"]


@pytest.mark.slow
def test_what_a_script_switches_off_is_seen(image: Any) -> None:
    code = """
import torch
torch._C._set_deterministic_algorithms(False)
torch.backends.cudnn.benchmark = True
torch.backends.cudnn.allow_tf32 = True
torch.set_float32_matmul_precision("medium")
torch.set_num_threads(2)
torch.set_default_dtype(torch.float64)
"""
    done = image.run("-c", code)
    wanted = {
        "torch.deterministic_algorithms": (True, False),
        "cudnn.benchmark": (False, True),
        "tf32.cudnn": (False, True),
        "tf32.matmul_precision": ("highest", "medium"),
        "torch.num_threads": (1, 2),
        "torch.default_dtype": ("torch.float32", "torch.float64"),
    }
    assert {name: done.changed.get(name) for name in wanted} == wanted
    assert "mkldnn.deterministic" not in done.changed


UNPOOL = """
import torch, warnings
warnings.simplefilter("default")
x, i = torch.nn.functional.max_pool2d(torch.ones(1, 1, 4, 4), 2, return_indices=True)
print(torch.nn.functional.max_unpool2d(x, i, 2).sum().item())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("level", "code", "says"),
    [
        ("strict", 1, "RuntimeError"),
        pytest.param("warn", 0, "UserWarning", marks=pytest.mark.acceptance),
        pytest.param("off", 0, "", marks=pytest.mark.acceptance),
    ],
)
def test_levels(image: Any, level: str, code: int, says: str) -> None:
    done = image.run("-c", UNPOOL, level=level)
    assert done.code == code
    assert ("does not have a deterministic implementation" in done.err) == bool(says)
    assert says in done.err
    flags = done.one("end")["flags"]
    assert flags["torch.deterministic_algorithms"] is (level != "off")
    assert flags["torch.deterministic_warn_only"] is (level == "warn")
    assert flags["torch.num_threads"] == 1


@pytest.mark.slow
def test_imported_in_a_thread_and_as_a_part(image: Any) -> None:
    code = """
import threading
thread = threading.Thread(target=lambda: __import__("torch.nn.functional"))
thread.start(); thread.join()
import torch
print(torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
"""
    done = image.run("-c", code)
    assert (done.out, done.err) == ("1 True\n", "")
    assert done.changed == {}


@pytest.mark.acceptance
@pytest.mark.slow
def test_compiling_stays_deterministic(image: Any) -> None:
    done = image.run("-c", "import torch, torch._inductor.config as c; print(c.deterministic)")
    assert done.out == "True\n"
    assert done.one("end")["flags"]["inductor.deterministic"] is True


@pytest.mark.slow
def test_a_forked_child_that_imports_torch_itself_reports(image: Any, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import multiprocessing as mp\n"
        "def work():\n    import torch\n    print(torch.rand(1).item(), torch.get_num_threads())\n"
        "if __name__ == '__main__':\n"
        "    child = mp.get_context('fork').Process(target=work); child.start(); child.join()\n"
    )
    done = image.run("train.py", cwd=tmp_path)
    assert (done.out.split()[1], done.err) == ("1", "")
    assert len(done.all("start")) == len(done.all("end")) == 2


@pytest.mark.slow
def test_a_subprocess_that_imports_torch_reports(image: Any) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import torch'], check=True)"
    done = image.run("-c", code)
    assert sorted("torch.version" in report["flags"] for report in done.all("end")) == [False, True]


@pytest.mark.slow
def test_what_torch_takes_once_is_left_to_the_script(image: Any) -> None:
    """And read before torch is imported: what the script says there counts, and is seen."""
    code = """
import os
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "3"
import multiprocessing, torch
print(torch.get_num_threads())
torch.set_num_interop_threads(5)
multiprocessing.set_start_method("spawn")
torch.multiprocessing.set_sharing_strategy("file_system")
torch.use_deterministic_algorithms(True)
print(torch.get_num_interop_threads(), torch.cuda.is_initialized())
"""
    done = image.run("-c", code, threads=2)
    assert (done.code, done.out, done.err) == (0, "3\n5 False\n", "")
    assert done.changed == {
        "env.MKL_NUM_THREADS": ("2", "3"),
        "env.OMP_NUM_THREADS": ("2", "3"),
        "torch.num_interop_threads": ("default", 5),
    }
