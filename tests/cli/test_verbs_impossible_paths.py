"""Paths that nobody can write or read: every verb that takes one says so in a line, with code 2."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from support.small_disk import let_nobody_write, small_disk

from orchestrator.cli.options import PathType
from orchestrator.cli.verbs import GROUPS, VERBS, module_of

KEY = "root@vm+d1edfb20+Ab+hSH7OichRpAvSEbA7+2DN7PnN22WmJbIAtgDoK07a"  # a public one
RUN = "aaaa"  # is not there: nothing is looked up for a path that cannot be
WRITE = (
    ("export", RUN, "{path}"),
    ("export", RUN, "{path}", "--format", "ro-crate"),
    ("export", RUN, "{path}.zip", "--format", "ro-crate"),
    ("export", RUN, "{path}.html", "--format", "html"),
    ("export", "{path}", "--all"),
    ("outputs", RUN, "--to", "{path}"),
    ("data get", "x", "{path}"),
    ("ledger export", "{path}"),
    ("ledger sign", "--to", "{path}"),
    ("attestation create", RUN, "--to", "{path}"),
    ("image sbom", RUN, "--to", "{path}"),
    ("history", "--parquet", "{path}"),
    ("lock", "--output", "{path}"),
)
KEEPING = ("outputs", "ledger sign", "attestation create", "lock")  # they add to what is there, or renew it
READ = (
    ("submit", "{path}"),
    ("submit", "job.yaml", "--input", "data={path}"),
    ("build", "{path}"),
    ("build", "job.yaml", "--input", "data={path}"),
    ("rerun", RUN, "--input", "data={path}"),
    ("export", RUN, "x", "--inputs", "--input", "data={path}"),
    ("lock", "{path}"),
    ("init", "{path}"),
    ("import", "{path}"),
    ("data add", "{path}"),
    ("origin", "{path}"),
    ("audit", "--offline", "{path}"),
    ("audit", "--offline", "{path}.html"),
    ("audit", "--witness", "{path}"),
    ("audit", "--key", "{path}"),
    ("attestation verify", "{path}", "--key", KEY),
    ("attestation verify", "x", "--key", "{path}"),
    ("attestation verify", "x", "--key", KEY, "--file", "{path}"),
)


def takes_a_path(parameter: click.Parameter) -> bool:
    metavar = getattr(parameter, "metavar", None) or ""
    named = re.search("(?<!/)(PATH|FILE|FOLDER|DIR)", metavar)  # no /PATH of a URL
    return isinstance(parameter.type, PathType) or bool(named)


def test_every_verb_that_takes_a_path_is_tried_here() -> None:
    tried = {words[0] for words in (*WRITE, *READ)}
    for verb in VERBS.keys() - GROUPS:
        command = importlib.import_module(module_of(verb)).command
        assert verb in tried or not any(map(takes_a_path, command.params)), verb


@pytest.fixture(params=["a long name", "a long path", "below a file"])
def nowhere(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("in the way")
    below = {"a long name": "x" * 300, "a long path": f"{'d' * 200}/" * 25 + "x", "below a file": "file/x"}
    return tmp_path / below[request.param]


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        (disk / "train.py").write_text("print(1)\n")
        let_nobody_write(disk)
        yield disk


def told(reprise: Callable[..., Any], home: Path, words: tuple[str, ...], path: Path) -> str:
    verb, *rest = words
    ran = reprise(*verb.split(), *(word.replace("{path}", str(path)) for word in rest))
    assert (ran.code, f"\n{ran.err}".count("\nreprise: ")) == (2, 1), ran
    assert list(home.glob("crash-*")) == []
    return str(ran.err)


@pytest.mark.parametrize("words", [*WRITE, *READ], ids=" ".join)
def test_a_place_where_nothing_can_be(
    reprise: Callable[..., Any],
    home: Path,
    tmp_path: Path,
    nowhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text("name: x\nbase: cpu\ncommand: x\ninputs: {data: file}\n")
    (tmp_path / "requirements.txt").write_text("x\n")
    said = told(reprise, home, words, nowhere)
    assert words not in WRITE or str(nowhere.parent)[:80] in said, "not what else is wrong with it"


@pytest.mark.server
@pytest.mark.parametrize("words", WRITE, ids=" ".join)
def test_a_folder_that_nobody_may_write_to(
    reprise: Callable[..., Any], home: Path, closed: Path, words: tuple[str, ...]
) -> None:
    assert f"nothing can be written into the folder {closed}\n" in told(reprise, home, words, closed / "x")


@pytest.mark.server
@pytest.mark.parametrize("words", [one for one in WRITE if one[0] != "ledger sign"], ids=" ".join)
def test_a_file_that_is_there_and_that_nobody_can_replace(
    reprise: Callable[..., Any], home: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A new one is written beside it first."""
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        for name in ("x", "x.zip", "x.html"):
            (disk / name).touch()
        let_nobody_write(disk)
        forced = words if words[0] in ("data get", "ledger export", *KEEPING) else (*words, "--force")
        assert str(disk) in told(reprise, home, forced, disk / "x")


@pytest.mark.parametrize(
    "words", [one for one in WRITE if one[0] not in KEEPING and "ro-crate" not in one], ids=" ".join
)
def test_a_file_that_is_there_is_not_replaced_without_being_asked(
    reprise: Callable[..., Any], home: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    mine = [tmp_path / name for name in ("x", "x.html")]
    for path in mine:
        path.write_text("mine")
    assert " is there already" in told(reprise, home, words, tmp_path / "x")
    assert [path.read_text() for path in mine] == ["mine", "mine"]


@pytest.mark.parametrize(
    "words",
    [
        one
        for one in WRITE
        if one[0] not in ("outputs", "data get", "ledger export") and one[-1] != "ro-crate"
    ],
    ids=" ".join,
)
def test_a_folder_where_a_file_is_to_be_written(
    reprise: Callable[..., Any],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.txt").write_text("x\n")
    for name in ("x", "x.html"):
        (tmp_path / name).mkdir()
    forced = words if words[0] in KEEPING else (*words, "--force")
    assert re.search(
        "is a (directory|folder)|is not a plain file", told(reprise, home, forced, tmp_path / "x")
    )


@pytest.mark.server
def test_a_folder_that_is_there_and_closed(reprise: Callable[..., Any], home: Path, closed: Path) -> None:
    said = told(reprise, home, ("outputs", RUN, "--to", "{path}"), closed)
    assert f"nothing can be written into the folder {closed}\n" in said
    said = told(reprise, home, ("init", "{path}", "--yes"), closed)
    assert f"cannot write into {closed}: Read-only file system" in said
