"""`reprise init`: files or none, and never over what is there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.terminal import Terminal

from orchestrator.errors import UsageError
from orchestrator.launch.project_survey.write_drafts import write_drafts
from orchestrator.spec.jobfile.read_job import read_spec

SCRIPT = (
    "import argparse, torch\nparser = argparse.ArgumentParser()\n"
    "parser.add_argument('--lr', type=float, default=0.1, help='learning rate')\n"
    "parser.add_argument('--seed', type=int, default=7)\nargs = parser.parse_args()\n"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "my model"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    return folder


def listing(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_yes_writes_a_job_file_that_the_strict_reader_takes(
    project: Path, reprise: Callable[..., Any]
) -> None:
    ran = reprise("init", str(project), "--yes")
    assert (ran.code, ran.err) == (0, "")
    assert f"wrote {project / 'job.yaml'}" in ran.out
    spec = read_spec(project)
    assert (spec.name, spec.params, spec.seed) == ("my-model", {"lr": 0.1}, 7)
    assert spec.command == "python train.py --lr {lr} --seed {seed}"
    assert "# learning rate" in (project / "job.yaml").read_text()
    assert ran.out.rstrip().endswith(f"reprise submit '{project / 'job.yaml'}'")


def test_json_is_one_document_of_what_was_written(project: Path, reprise: Callable[..., Any]) -> None:
    document = json.loads(reprise("init", str(project / "train.py"), "--yes", "--json").out)
    assert document["written"] is True
    assert document["files"] == {"job.yaml": (project / "job.yaml").read_text()}
    assert (document["framework"], document["params"], document["seed"]) == ("argparse", {"lr": 0.1}, 7)


@pytest.mark.parametrize("there", ["job.yaml", ".repriseignore"])
def test_nothing_is_written_over_and_a_dry_run_writes_nothing(
    project: Path, reprise: Callable[..., Any], there: str
) -> None:
    (project / there).write_text("# mine\n")
    before = listing(project)
    assert "name: my-model" in reprise("init", str(project), "--dry-run").out
    assert listing(project) == before
    ran = reprise("init", str(project), "--yes")
    if there == "job.yaml":
        assert (ran.code, ran.out) == (2, "")
        assert str(project / "job.yaml") in ran.err
        assert "--dry-run" in ran.err
    assert {name: data for name, data in listing(project).items() if name in before} == before


def test_a_link_in_a_files_place_is_not_written_through(project: Path, reprise: Callable[..., Any]) -> None:
    (project / "job.yaml").symlink_to(project.parent / "elsewhere")
    assert reprise("init", str(project), "--yes").code == 2
    assert not (project.parent / "elsewhere").exists()


def test_where_one_file_cannot_be_written_none_is(project: Path) -> None:
    before = listing(project)
    with pytest.raises(UsageError, match="cannot write"):
        write_drafts(project, {".repriseignore": "/data/\n", "gone/job.yaml": "name: x\n"})
    (project / "taken").write_text("mine")
    with pytest.raises(UsageError, match="taken is there already"):
        write_drafts(project, {".repriseignore": "/data/\n", "taken": "name: x\n"})
    assert listing(project) == before | {"taken": b"mine"}


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_without_a_terminal_it_asks_nothing(
    project: Path, reprise: Callable[..., Any], words: list[str]
) -> None:
    ran = reprise("init", str(project), *words)
    assert ran.code == 2
    assert "--yes" in ran.err
    assert list(listing(project)) == ["train.py"]


def test_a_wrong_path_is_said_before_the_terminal_that_is_missing(
    project: Path, reprise: Callable[..., Any]
) -> None:
    ran = reprise("init", str(project / "trian.py"))
    assert ran.code == 2
    assert "no such script or folder" in ran.err and "terminal" not in ran.err


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 0), ("n\n", 130)])
def test_in_a_terminal_it_shows_the_files_and_asks(project: Path, home: Path, answer: str, code: int) -> None:
    argv = [sys.executable, "-m", "orchestrator.cli", "init", str(project)]
    with Terminal(argv, os.environ | {"TERM": "dumb"}) as terminal:
        terminal.wait_for(b"Write these files?")
        assert b"command: python train.py --lr {lr} --seed {seed}" in terminal.shown
        assert not (project / "job.yaml").exists()
        terminal.type(answer)
        assert terminal.finish() == code
    assert (project / "job.yaml").exists() is (code == 0)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.py", None, "no such script"),
        ("model.ipynb", "{}", "jupyter nbconvert --to script"),
        ("bad.py", "x = 1\ndef (:\n", "bad.py:2: not Python that can be parsed: invalid syntax"),
        ("bad.py", "print 'old'\n", "bad.py:1: not Python that can be parsed: Missing parentheses"),
        (
            "bad.py",
            "x = '\0'\n",
            "not Python that can be parsed: source code string cannot contain null bytes",
        ),
        ("bad.py", "-" * 100_000 + "1", "not Python that can be parsed: "),
        ("data.csv", "1,2", "not a Python script"),
    ],
)
def test_what_is_no_script_gets_one_message(
    tmp_path: Path, reprise: Callable[..., Any], name: str, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    ran = reprise("init", str(tmp_path / name), "--yes")
    assert ran.code == 2
    assert said in ran.err
    assert not (tmp_path / "job.yaml").exists()


def test_of_several_scripts_it_picks_none(tmp_path: Path, reprise: Callable[..., Any]) -> None:
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("if __name__ == '__main__':\n    pass\n")
    ran = reprise("init", str(tmp_path), "--yes")
    assert ran.code == 2
    assert "one.py, two.py" in ran.err
    assert f"reprise init {tmp_path}" in ran.err or "reprise init one.py" in ran.err


def test_an_interrupt_while_files_are_written_leaves_none(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def interrupted(source: Path, target: Path) -> None:
        if target.name == "job.yaml":
            raise KeyboardInterrupt
        link(source, target)

    monkeypatch.setattr(os, "link", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_drafts(project, {".repriseignore": "/data/\n", "job.yaml": "name: x\n"})
    assert list(listing(project)) == ["train.py"]
