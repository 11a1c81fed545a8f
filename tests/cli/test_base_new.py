"""`reprise base new`, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.package_index import PackageIndex, only_this_index, package_index

from orchestrator.errors import ExitCode

Reprise = Callable[..., Any]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    with package_index(tmp_path / "index") as made:
        only_this_index(monkeypatch, made)
        made.add("rare-thing", "1.2")
        yield made


def test_it_says_what_changed_and_what_comes_next(reprise: Reprise, index: PackageIndex) -> None:
    code, out, err = reprise("base", "new", "mine", "--from", "cpu", "--requirement", "rare-thing")
    assert code == ExitCode.OK, err
    assert "rare-thing  -    1.2" in out
    assert "`reprise base build mine`" in out
    assert "`base: mine`" in out
    listed = reprise.json("base", "list")
    assert "mine" in listed["not_pinned"]
    again = reprise("base", "new", "mine", "--from", "cpu", "--requirement", "rare-thing")
    assert (again.code, "the name mine is taken" in again.err) == (ExitCode.USAGE, True)


def test_its_json(reprise: Reprise, index: PackageIndex, home: Path) -> None:
    words = ("base", "new", "mine", "--from", "cuda", "--requirement", "rare-thing>=1", "--json")
    made = json.loads(reprise(*words).out)
    assert (made["name"], made["parent"]) == ("mine", "cuda")
    assert made["changed"] == [{"name": "rare-thing", "before": None, "after": "1.2"}]
    assert made["packages"]["torch"] == "2.13.0"
    assert Path(made["lock"]) == home / "flavours" / "mine" / "requirements.txt"


@pytest.mark.parametrize("words", [(), ("--from", "cpu"), ("--requirement", "rare-thing")])
def test_what_is_left_out_is_asked_for(reprise: Reprise, words: tuple[str, ...]) -> None:
    ran = reprise("base", "new", "mine", *words)
    assert ran.code == ExitCode.USAGE
    assert "--requirement" in ran.err or "--from" in ran.err
