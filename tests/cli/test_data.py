"""reprise data: what is printed, and what the other verbs say of named data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "numbers"
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "one.txt").write_text("one")
    (path / "two.txt").write_text("two")
    return path


def test_data_is_named_listed_shown_and_got(reprise: Call, folder: Path, tmp_path: Path) -> None:
    assert reprise("data", "list").out == "no data has a name; `reprise data add PATH` gives it one\n"
    first = reprise.json("data", "add", str(folder))
    assert {name: first[name] for name in ("name", "version", "new", "last", "files", "size")} == {
        **dict.fromkeys(("version", "last"), 1),
        "name": "numbers",
        "new": True,
        "files": 2,
        "size": 6,
    }
    (folder / "two.txt").write_text("2")
    assert reprise("data", "add", str(folder), "-q").out == "numbers@2\n"
    (folder / "two.txt").write_text("two")
    again = reprise("data", "add", str(folder))
    assert "numbers@1" in again.out and "is there already; the last version is numbers@2" in again.out
    listed = reprise.json("data", "list")["data"]
    assert [(one["name"], one["version"]) for one in listed] == [("numbers", 2), ("numbers", 1)]
    assert len(reprise("data", "list").out.splitlines()) == 2  # the heading, and the last version
    shown = reprise.json("data", "show", "numbers@1")
    assert [file["path"] for file in shown["listing"]] == ["deep/one.txt", "two.txt"]
    assert shown["used_by"] == [] and len(shown["versions"]) == 2
    assert "deep/one.txt" in reprise("data", "show", "numbers").out
    got = reprise.json("data", "get", "numbers@1", str(tmp_path / "got"))
    assert (got["digest"], got["version"]) == (first["digest"], 1)
    assert (tmp_path / "got" / "deep" / "one.txt").read_text() == "one"


def test_origin_knows_data_and_its_files(reprise: Call, folder: Path) -> None:
    assert reprise("data", "add", str(folder), "--name", "set", "-q").code == 0
    asked = reprise("origin", str(folder / "two.txt"), "--json")
    assert asked.code == 4  # no run made it
    [file] = json.loads(asked.out)["files"]
    assert [(one["name"], one["version"], one["path"]) for one in file["data"]] == [("set", 1, "two.txt")]
    whole = reprise("origin", str(folder))
    assert "as a whole\n  data set@1 (" in whole.out
    assert "  two.txt in data set@1 (" in reprise("origin", str(folder / "two.txt")).out


def test_mistakes_are_told(reprise: Call, folder: Path, tmp_path: Path) -> None:
    assert reprise("data", "add", str(folder), "-q").code == 0
    unknown = reprise("data", "show", "number")
    assert unknown.code == 2 and "did you mean numbers?" in unknown.err
    assert reprise("data", "get", "numbers", str(folder)).code == 2
    assert reprise("data", "add", str(tmp_path / "nowhere")).code == 2
    (tmp_path / "job.yaml").write_text("name: x\nbase: cpu\ncommand: 'true'\ninputs: {set: data:nubmers}\n")
    refused = reprise("build", str(tmp_path))
    assert refused.code == 2


def test_the_ledger_tells_who_named_data(reprise: Call, folder: Path) -> None:
    assert reprise("data", "add", str(folder), "-q").code == 0
    events = reprise.json("ledger", "log")["events"]
    [named] = [event for event in events if event["kind"] == "data.named"]
    [row] = named["data"]["data_version"].values()
    assert (row["name"], row["version"]) == ("numbers", 1)
