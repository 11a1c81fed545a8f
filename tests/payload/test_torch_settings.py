"""The determinism settings of a torch, and of one that lacks some."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.image.determinism_settings import environment
from orchestrator.payload.determinism.torch_settings import SETTING_NAMES, apply_torch


def test_every_setting_of_the_environment_is_read_back() -> None:
    set_here = {name for name in environment("strict", 1, True, 0) if not name.startswith("REPRISE_")}
    assert set_here <= set(SETTING_NAMES)


def test_the_orchestrator_asks_without_loading_torch_or_the_rest() -> None:
    code = (
        "import orchestrator.payload.determinism.torch_settings, sys;"
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


def test_a_setting_that_breaks_is_named_with_its_error() -> None:
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
