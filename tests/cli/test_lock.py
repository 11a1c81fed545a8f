"""`reprise lock` as it is typed, with an index on loopback."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.package_index import PackageIndex, only_this_index, package_index

from orchestrator.cli.main import run

PINS = """\
["lab".pin]
digest = "sha256:{digest}"
config_digest = "sha256:{digest}"
reference = "reprise-base:lab"
["lab".pin.python]
executable = "/opt/python/bin/python"
version = "3.11.2"
purelib = "/opt/python/lib/python3.11/site-packages"
glibc = "2.36"
machine = "x86_64"
torch = "2.13.0+cpu"
["lab".pin.python.packages]
numpy = "2.4.6"
torch = "2.13.0+cpu"
"""
JOB = "name: x\nbase: lab\ncommand: python train.py\nrequirements: requirements.lock\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "bases.toml").write_text(PINS.format(digest="0" * 64))
    monkeypatch.setenv("REPRISE_HOME", str(home))
    (tmp_path / "job").mkdir()
    monkeypatch.chdir(tmp_path / "job")
    with package_index(tmp_path / "index") as made:
        only_this_index(monkeypatch, made)
        for version in ("1.0", "2.0"):
            made.add("thing", version, ["torch>=2"])
        made.add("other", "1.0")
        yield made


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["lock", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_project_is_locked_kept_upgraded_and_checked(
    index: PackageIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    job, lock = Path("job.yaml"), Path("requirements.lock")
    job.write_text(JOB)
    Path("requirements.txt").write_text("thing<2\n")
    code, out, err = typed(capsys)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "requirements.lock"
    assert "thing==1.0" in lock.read_text()
    assert "requirements:" not in out, "the job file names it already"

    Path("requirements.txt").write_text("thing\n")
    assert typed(capsys)[0] == 0
    assert "thing==1.0" in lock.read_text(), "kept where it fits"
    assert typed(capsys, "--check")[0] == 0
    assert typed(capsys, "--upgrade", "-q")[1] == "requirements.lock\n"
    assert "thing==2.0" in lock.read_text()

    with Path("requirements.in").open("a") as added:
        added.write("other\n")
    before = lock.read_bytes()
    code, out, err = typed(capsys, "--check")
    assert (code, out) == (2, "")
    assert "is not what requirements.txt, requirements.in asks for" in err
    assert lock.read_bytes() == before
    code, out, _ = typed(capsys, "--json")
    document = json.loads(out)
    assert [one["name"] for one in document["packages"]] == ["other", "thing"]
    assert (document["base"], document["changed"], document["provided"]) == ("lab", True, ["torch"])


def test_what_clashes_is_one_message_and_nothing_is_written(
    index: PackageIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    index.add("old", "1.0", ["torch<2"])
    Path("job.yaml").write_text(JOB)
    Path("requirements.txt").write_text("old\n")
    code, out, err = typed(capsys)
    assert (code, out) == (2, "")
    assert err.startswith("reprise: old needs torch<2, and the base lab has torch 2.13.0+cpu\n  hint: ")
    assert "reprise base new NAME --from lab --requirement 'torch<2'" in err
    assert "Because" not in err
    assert not Path("requirements.lock").exists()
    assert "Because" in typed(capsys, "--verbose")[2]
    assert json.loads(typed(capsys, "--json")[2])["error"]["exit_code"] == 2


def test_a_file_written_by_hand_is_never_written_over(
    index: PackageIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("requirements.txt").write_text("other\n")
    Path("notes.txt").write_text("mine\n")
    for output, said in (("requirements.txt", "is what is to be locked"), ("notes.txt", "is not a lock")):
        code, _, err = typed(capsys, "requirements.txt", "--base", "lab", "--output", output)
        assert (code, said in err) == (2, True)
    assert Path("notes.txt").read_text() == "mine\n"
    code, out, _ = typed(capsys, "requirements.txt", "--base", "lab")
    assert code == 0
    assert "write `requirements: requirements.lock` into the job file" in out
    _, out, _ = typed(capsys, "requirements.txt", "--base", "lab", "--output", "locks/a.txt")
    assert "write `requirements: locks/a.txt` into the job file" in out


def test_only_a_plain_file_is_replaced_and_only_in_the_job_s_source(
    index: PackageIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--output /dev/null`, typed as root, would put a file in its place."""
    Path("requirements.in").write_text("thing\n")
    os.mkfifo("device")
    code, _, err = typed(capsys, "--base", "lab", "--output", "device")
    assert (code, "device is not a plain file" in err) == (2, True)
    assert Path("device").is_fifo()
    Path("job.yaml").write_text(JOB.replace("requirements.lock", "../lock.txt"))
    code, _, err = typed(capsys)
    assert (code, "leads outside" in err) == (2, True)
    assert not Path("../lock.txt").exists()


def test_a_lock_of_nothing_is_a_lock_and_a_damaged_one_is_made_anew(
    index: PackageIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("job.yaml").write_text(JOB)
    Path("requirements.in").write_text("torch\n")
    assert typed(capsys)[0] == 0
    assert typed(capsys, "--check")[0] == 0
    Path("requirements.in").write_text("other\n")
    assert typed(capsys)[0] == 0
    lock = Path("requirements.lock")
    lock.write_text(f"{lock.read_text()}<<<<<<< HEAD\n")
    code, _, err = typed(capsys)
    assert (code, "line 4: not a requirement: '<<<<<<< HEAD'" in err, "--upgrade" in err) == (2, True, True)
    assert typed(capsys, "--upgrade")[0] == 0
    assert typed(capsys, "--check")[0] == 0


def test_a_place_that_cannot_be_written_is_one_message(
    index: PackageIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("requirements.in").write_text("other\n")
    Path("file").write_text("")
    code, _, err = typed(capsys, "--base", "lab", "--output", "file/lock.txt")
    assert (code, f"nothing can be written into the folder {Path('file').absolute()}\n" in err) == (2, True)
    assert index.asked == [], "it is said before any work"
