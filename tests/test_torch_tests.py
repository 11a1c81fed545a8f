"""Without PyTorch the tests that run it are left out, counted and said; none is taken for passed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.torch_tests import imports_torch

REPO = Path(__file__).resolve().parents[1]
PAYLOAD = Path(__file__).parent / "payload"
WITHOUT = "import sys; sys.modules['torch'] = None; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
SOME = [str(PAYLOAD / name) for name in ("test_jobs.py", "test_tensor_digest.py")]


def collect(*arguments: str, without: bool = True) -> str:
    python = [sys.executable, "-c", WITHOUT] if without else [sys.executable, "-m", "pytest"]
    asked = [*python, "--collect-only", "-q", "-n", "0", "-p", "no:cacheprovider", *arguments, *SOME]
    done = subprocess.run(asked, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_needs_torch_is_left_out_and_said() -> None:
    found = collect()
    assert "test_hello_draws" in found
    assert "test_digits_learns" not in found
    assert "test_tensor_digest" not in found
    assert re.search(r"no PyTorch: 3 tests, and 1 whole files\. .* inside the cpu base", found), found
    assert "3 deselected" in found


@pytest.mark.torch
@pytest.mark.slow
def test_and_the_same_are_chosen_where_it_is() -> None:
    found = collect("-m", "torch", without=False)
    assert "test_hello_draws" not in found
    assert "test_digits_learns" in found
    assert "test_tensor_digest.py::" in found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch\n", True),
        ("from torch.utils import data\n", True),
        ("import os, torch.nn as nn\n", True),
        ("def f():\n    import torch\n", False),
        ("SCRIPT = 'import torch'\n", False),
        ("import torchvision_like\nfrom .torch import x\n", False),
    ],
)
def test_what_imports_torch(tmp_path: Path, source: str, expected: bool) -> None:
    path = tmp_path / "test_x.py"
    path.write_text(source)
    assert imports_torch(path) is expected
