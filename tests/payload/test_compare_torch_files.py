"""Two loaded files side by side: what is called equal, how far apart the rest is, and where it ends."""

from __future__ import annotations

import argparse
import math
import os
from collections import OrderedDict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator.payload import compare_torch_files

X = torch.arange(6, dtype=torch.float32).reshape(2, 3)


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Save two values, compare the files as the container does; only what is not empty is returned."""
    monkeypatch.setattr(compare_torch_files, "PAIRS", str(tmp_path))
    torch.serialization.add_safe_globals(compare_torch_files.harmless())

    def judged(a: Any, b: Any, bound: str = "0.0:0.0", **how: Any) -> dict[str, Any]:
        folder = tmp_path / "0"
        folder.mkdir(exist_ok=True)
        torch.save(a, folder / "original", **how)
        torch.save(b, folder / "rerun", **how)
        report = compare_torch_files.compared(torch, 0, bound)
        return {name: value for name, value in report.items() if value not in (None, "", [], 0)}

    yield judged
    torch.serialization.clear_safe_globals()


def changed(value: torch.Tensor, by: float) -> torch.Tensor:
    other = value.clone()
    other.view(-1)[1] += by
    return other


@pytest.mark.parametrize("zipped", [True, False])
def test_dates_and_arguments_are_named_beside_equal_tensors(judge: Any, zipped: bool) -> None:
    state = OrderedDict(weight=X, deep=[{"b": (X, X[:, 1])}], half=X.bfloat16(), array=np.arange(3.0))
    a = {"state": state, "at": datetime(2026, 1, 1), "args": argparse.Namespace(lr=0.1), "nan": math.nan}
    b = {**a, "at": datetime(2026, 1, 2), "args": argparse.Namespace(lr=0.2), "more": 1}
    report = judge(a, b, _use_new_zipfile_serialization=zipped)
    assert report["tensors"] == 5
    assert [leaf.partition(":")[0] for leaf in report["leaves"]] == ["at", "args.lr", "more"]
    assert report.keys() == {"tensors", "leaves", "leaf_count"}


@pytest.mark.parametrize(
    ("a", "b", "bound", "outside", "max_abs"),
    [
        (X, changed(X, 0.5), "0:0", 1, 0.5),
        (X, changed(X, 0.5), "0.5:0", 0, 0.5),
        (X, changed(X, 0.5), "0:0.5", 0, 0.5),
        (X.T, changed(X, 0.5).T, "0:0", 1, 0.5),
        (X[:, ::2], changed(X, 0.0)[:, ::2] + 1, "0:0", 4, 1.0),
        (torch.tensor([math.nan, 0.0]), torch.tensor([math.nan, -0.0]), "0:0", 0, 0.0),
        (torch.tensor([math.nan]), torch.tensor([1.0]), "9:9", 1, math.inf),
        (torch.tensor([math.inf]), torch.tensor([-math.inf]), "9:9", 1, math.inf),
        (torch.tensor([2**62]), torch.tensor([2**62 + 1]), "0:0", 1, compare_torch_files.INT_ERROR),
        (torch.tensor([1 + 1j]), torch.tensor([1 + 2j]), "0:0", 1, 1.0),
        (X.to(torch.float8_e4m3fn), (X + 1).to(torch.float8_e4m3fn), "1:0", 0, 1.0),
        (X.to_sparse(), (X * 2).to_sparse(), "0:0", 5, 5.0),
    ],
)
def test_distances(
    judge: Any, a: torch.Tensor, b: torch.Tensor, bound: str, outside: int, max_abs: float
) -> None:
    report = judge({"w": X, "x": a}, {"w": X, "x": b}, bound)
    assert (report["tensors"], report["differing"], report["first"]) == (2, 1, "x")
    assert (report.get("outside", 0), report.get("max_abs", 0.0)) == (outside, max_abs)


def test_every_piece_of_a_large_tensor_is_looked_at(judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_torch_files, "PIECE", 7)
    a = torch.arange(1000.0).reshape(10, 4, 25)
    for way in (lambda t: t, lambda t: t.permute(2, 0, 1), lambda t: t[:, :, ::3]):
        b = a.clone()
        b[0, 0, 0] = b[9, 3, 24] = -5.0
        assert judge(way(a), way(b))["outside"] == 2


@pytest.mark.parametrize(
    ("a", "b", "problem"),
    [
        ({"x": X}, {}, "x: only in the original"),
        ({}, {"x": {"y": X}}, "x: only in the rerun"),
        ([X], [X, X], "1: only in the rerun"),
        ({"x": X}, {"x": X.double()}, "x: float32[2, 3] vs float64[2, 3]"),
        ({"x": X}, {"x": X.T}, "x: float32[2, 3] vs float32[3, 2]"),
        ({"x": X}, {"x": 1}, "x: a tensor only in the original"),
    ],
)
def test_other_tensors_are_a_problem_that_no_tolerance_is_for(
    judge: Any, a: Any, b: Any, problem: str
) -> None:
    assert judge(a, b, "9:9")["problem"] == problem


def test_types_of_scalars_count(judge: Any) -> None:
    report = judge({"a": 1, "b": 0.0, "c": "x" * 500, "d": [1]}, {"a": True, "b": -0.0, "c": "y", "d": (1,)})
    assert [leaf.partition(":")[0] for leaf in report["leaves"]] == ["a", "b", "c", "d"]
    assert all(len(leaf) < 300 for leaf in report["leaves"])


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_what_would_run_code_is_refused(judge: Any, tmp_path: Path) -> None:
    report = judge(Evil(tmp_path / "ran"), Evil(tmp_path / "ran"))
    assert "posix.system" in report["error"]
    assert not (tmp_path / "ran").exists()


def test_laughs_and_endless_depth_and_wide_claims_have_an_end(judge: Any) -> None:
    laughs: Any = [1]
    for _ in range(40):
        laughs = [laughs, laughs]
    assert judge(laughs, laughs) == {"error": f"it holds more than {compare_torch_files.MAX_NODES} entries"}
    deep: Any = [1]
    for _ in range(200):
        deep = [deep]
    assert "levels" in judge(deep, deep)["error"]
    wide = torch.zeros(1).expand(10**6, 10**6)
    assert "claims 1,000,000,000,000 elements in 4 bytes" in judge(wide, wide)["error"]
