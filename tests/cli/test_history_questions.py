"""What people say of runs, and the questions that the history answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.records import finish_run, image_facts, new_run, stored_output

from orchestrator.digest import Digest
from orchestrator.image.assembly.layers import source_layer
from orchestrator.image.image_layout import ImageLayout
from orchestrator.launch.session import Session
from orchestrator.spec.inputs import read_input
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState, SourceFile, SourceTree

Call = Callable[..., Any]
A, B = "aaaa000000000001", "bbbb000000000002"
EVIL = "\x1b]0;owned\x07\u202e"


@pytest.fixture
def ran(session: Session) -> Callable[..., str]:
    """A finished run: its source, its outputs by path, its inputs by name, its uncommitted patch."""

    def make(
        run: str,
        source: dict[str, str] | None = None,
        outputs: dict[str, bytes] | None = None,
        inputs: dict[str, Path] | None = None,
        patch: bytes | None = None,
        packages: dict[str, str] | None = None,
        params: dict[str, Any] | None = None,
    ) -> str:
        files = {path: text.encode() for path, text in (source or {"train.py": "x = 1\n"}).items()}
        tree = SourceTree(files=tuple(SourceFile(path=path, data=files[path]) for path in sorted(files)))
        layer = source_layer(ImageLayout(session.settings.layout), tree)
        data = {name: read_input(path) for name, path in (inputs or {}).items()}
        git = None
        if patch is not None:
            kept = session.store.put_bytes(patch)
            git = GitState(commit="c" * 40, branch="main", dirty=True, patch_digest=kept)
        program = Program(
            name="digits",
            command=("python", "train.py"),
            params=params or {"lr": 0.1, "epochs": 3},
            inputs={name: item.digest for name, item in data.items()},
            seed=7,
        )
        image, read = image_facts(run, layers=(layer,)), tuple(data.values())
        return finish_run(
            session.record,
            new_run(id=run, image=image, program=program, git=git, inputs=read),
            metrics={"accuracy": 0.9},
            outputs=tuple(stored_output(session.store, *item) for item in (outputs or {}).items()),
            packages=packages or {},
            source={path: Digest.of(text).hex for path, text in files.items()},
        )

    return make


def test_notes_tags_and_names_are_shown(reprise: Call, ran: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    ran(A)
    assert reprise("note", A[:6]).out == f"no notes on {A}\n"
    assert reprise("note", A, f"first{EVIL}\nsecond line").out == f"noted on {A}\n"
    monkeypatch.setenv("LOGNAME", "bob")
    assert reprise("note", A, "me, too").code == 0
    assert reprise("note", A, "me, too").out == f"already noted on {A}\n"
    assert reprise("tag", A, "baseline", "v2").out == f"{A}: baseline, v2\n"
    assert reprise.json("tag", A, "v2", "gone", "--remove") == {
        "run": A,
        "changed": ["v2"],
        "tags": ["baseline"],
    }
    assert reprise("alias", "production", A).out == f"{A} is now production\n"
    assert reprise("alias", "production", A).out == f"{A} is production already\n"
    out = reprise("show", "production").out
    assert A in out and "alias  production" in out and "tags   baseline" in out
    assert "first\n    second line" in out and "bob: me, too" in out and "\x1b" not in out
    said = reprise.json("show", A)["said"]
    assert (said["tags"], said["names"], said["archived"]) == (["baseline"], ["production"], None)
    assert [note["by"] for note in said["notes"]][1:] == ["bob"]
    assert "  production  baseline  " in reprise("history").out


def test_a_name_moves_and_its_past_stays(reprise: Call, ran: Call) -> None:
    ran(A)
    ran(B)
    assert reprise("alias").out == "no run has an alias\n"
    reprise("alias", "production", A)
    assert reprise("alias", "production", B).out == f"{B} is now production; before, it was {A}\n"
    lines = reprise("alias").out.splitlines()
    assert len(lines) == 2 and lines[1].split()[:3] == ["production", B, "digits"]
    past = reprise("alias", "production").out
    assert past.index(A) < past.index(B)
    reprise("alias", "production", "--remove")
    [named] = reprise.json("alias")["names"]
    assert named["run"] is None and [item["kind"] for item in named["past"]] == ["name", "name", "unname"]
    code, _, err = reprise("show", "production")
    assert code == 2 and "no run has that alias" in err
    assert reprise("alias", "deadbeef", A).code == 2
    assert reprise("alias", "nobody").code == 2
    assert reprise("alias", "production", A, "--remove").code == 2


def test_archived_runs_are_hidden_not_gone(reprise: Call, ran: Call) -> None:
    ran(A)
    ran(B)
    assert reprise("archive", A, B[:5]).out == f"{A} archived\n{B} archived\n"
    assert reprise.json("archive", A) == {
        "archived": True,
        "changed": [],
        "unchanged": [A],
    }
    assert reprise("archive", B, "--restore").out == f"{B} restored\n"
    assert [run["id"] for run in reprise.json("history")["runs"]] == [B]
    assert [run["id"] for run in reprise.json("history", "--archived")["runs"]] == [A]
    assert reprise.json("best", "digits", "--metric", "accuracy")["id"] == B
    assert "archived  by " in reprise("show", A).out


def test_what_changed_has_a_column(reprise: Call, ran: Call) -> None:
    ran(A, {"train.py": "x = 1\n"}, packages={"torch": "2.12", "six": "1.0"})
    ran(B, {"train.py": "x = 2\n", "new.py": ""}, packages={"torch": "2.13", "numpy": "2.0"})
    out = reprise("history", "--changed", "packages").out
    assert "+numpy 2.0, -six 1.0, torch 2.12 -> 2.13" in out and B in out and A not in out
    assert "+new.py, train.py" in reprise("history", "--changed", "code").out
    assert reprise("history", "--changed", "seed").out == "no runs\n"
    document = reprise.json("history", "--changed", "code")
    assert document["changed"][B]["before"] == A


def test_what_tells_runs_apart_is_shown_and_what_they_share_is_said(reprise: Call, ran: Call) -> None:
    shared = {"batch_size": 32, "epochs": 2, "gamma": 0.7}
    ran(A, params=shared | {"lr": 0.1})
    assert "BATCH_SIZE  EPOCHS" in reprise("history").out
    ran(B, params=shared | {"lr": 0.5})
    _, out, err = reprise("history")
    assert {"RUN", "LR"} <= set(out.splitlines()[0].split()) and "GAMMA" not in out
    assert "batch_size 32, epochs 2, gamma 0.7" in err
    assert "PARAMS.GAMMA" in reprise("history", "--sort=params.gamma").out


def test_where_no_metric_is_recorded_it_is_said_how_one_is(reprise: Call) -> None:
    code, _, err = reprise("history", "--sort=-metrics.accuracy")
    assert code == 2 and "no run with a metric is recorded yet; a job writes" in err
    assert "a job writes" not in reprise("history", "--sort=params.lr").err


def test_the_patch_is_shown_cleaned_and_given_exactly(reprise: Call, process: Call, ran: Call) -> None:
    patch = f"--- a/t.py\n+++ b/t.py\n@@ -1 +1 @@\n-x\r\n+y{EVIL}\n".encode() + b"+\xff\n"
    ran(A, patch=patch)
    ran(B)
    out = reprise("show", A, "--patch").out
    assert "+y\n" in out and "-x^M\n" in out and "\x1b" not in out and "\u202e" not in out
    assert reprise.json("show", A, "--patch")["patch"] == patch.decode("utf-8", "replace")
    assert reprise("show", A, "--raw").code == 2
    code, _, err = reprise("show", B, "--patch")
    assert code == 2 and "in no git repository" in err


def test_two_sources_are_compared_as_a_patch(reprise: Call, ran: Call, session: Session) -> None:
    ran(A, {"train.py": "x = 1\n", "gone.py": "g\n"})
    ran(B, {"train.py": f"x = 2{EVIL}\n", "data.bin": "\0"})
    out = reprise("diff", A, B, "--code").out
    assert "-x = 1\n+x = 2\n" in out and "--- a/gone.py\n+++ /dev/null\n" in out
    assert "added: data.bin (binary)\n" in out and "\x1b" not in out
    assert reprise("diff", A, A, "--code").out == "no differences in the source (without --code: all else)\n"
    [binary, gone, train] = reprise.json("diff", A, B, "--code")["code"]
    assert (binary["why"], gone["change"], train["path"]) == ("binary", "removed", "train.py")
    # Where the layer is nowhere, the record's digests still tell which files differ.
    facts, _ = session.record.image(session.record.run(B).image)
    (session.settings.layout / "blobs" / "sha256" / facts.layers[0].digest.hex).unlink()
    code, out, err = reprise("diff", A, B, "--code")
    assert code == 0 and "changed: train.py (contents are not on this box)" in out
    assert f"the source layer of run {B} is not on this box" in err


def test_lineage_is_a_tree(reprise: Call, ran: Call, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "w").write_bytes(b"weights")
    (tmp_path / "raw").write_bytes(b"raw")
    ran(A, outputs={"model.pt": b"weights"}, inputs={"data": tmp_path / "raw"})
    ran(B, inputs={"models": tmp_path / "in"})
    out = reprise("lineage", B).out.splitlines()
    assert out[0].startswith(f"{B} digits (succeeded, ada, ")
    assert out[1] == "|-- inputs"
    assert out[2].startswith(f"|   `-- models <- model.pt (as w) of {A} digits")
    assert out[3].startswith("|       `-- data: no run made it (")
    assert out[4] == "`-- used by no run that is recorded"
    out = reprise("lineage", A).out
    assert f"{B} digits" in out and "models <- model.pt (as w)" in out
    assert reprise.json("lineage", A)["below"][0]["user"] == B


def test_origin_knows_inputs_and_folders(reprise: Call, ran: Call, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a").write_text("a")
    (folder / "b").write_text("b")
    ran(A, inputs={"data": folder}, patch=b"the patch")
    code, out, _ = reprise("origin", str(folder))
    assert code == 4, "it was an input; no run made it"
    assert f"{folder} as a whole\n  input data of {A}" in out
    assert out.endswith(f"no run made these\n{'  in input data of ' + A} ({out.rpartition('(')[2]}")
    assert f"in input data/sub/a of {A}" in reprise("origin", str(folder / "sub" / "a")).out
    (tmp_path / "found.patch").write_bytes(b"the patch")
    code, out, _ = reprise("origin", str(tmp_path / "found.patch"))
    assert code == 0 and f"the patch of {A}" in out
    (folder / "link").symlink_to("b")  # with a link in it, it is no input as a whole
    document = reprise.json("origin", str(folder))
    assert document["folders"] == [] and len(document["files"]) == 2


def test_origin_groups_what_the_same_run_left(reprise: Call, ran: Call, tmp_path: Path) -> None:
    names = [f"shard-{number:02}" for number in range(30)]
    ran(A, outputs={f"out/{name}": name.encode() for name in names})
    (tmp_path / "got").mkdir()
    for name in names:
        (tmp_path / "got" / name).write_text(name)
    out = reprise("origin", str(tmp_path / "got")).out
    assert out.count(A) == 1 and "and 10 more files" in out
    assert "shard-00  (as out/shard-00)" in out


# No question to the record needs these, and each takes longer to import than the answer takes.
UNNEEDED = {
    *("alembic", "cryptography", "docker", "obstore", "packaging", "psycopg", "requests", "rich", "ruamel"),
    *("torch", "sqlalchemy.orm", "orchestrator.audit", "orchestrator.image.assembly"),
    *("orchestrator.launch.execute", "orchestrator.launch.judge", "orchestrator.run.engine"),
    "orchestrator.verdict.compare_runs",
}


@pytest.mark.parametrize(
    "words",
    [
        ["history"],
        ["history", "--where", "metrics.accuracy > 0.5", "--json"],
        ["show", A],
        ["best", "digits", "--metric", "accuracy"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_is_asked_all_day_imports_little(reprise: Call, ran: Call, words: list[str]) -> None:
    ran(A)
    assert reprise("history").code == 0  # signs the ledger's new head
    script = (
        "import sys\nfrom orchestrator.cli.main import run\n"
        "assert run(sys.argv[1:]) == 0\nprint(*sys.modules, sep=chr(10), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    assert A in done.stdout
    assert UNNEEDED.isdisjoint(done.stderr.split())
