"""Data on one person's disk only: the boxes get it by its digest, once, and a rerun needs nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.box import stored, write_job
from support.team import FINAL, Team

from orchestrator.digest import Digest
from orchestrator.spec.inputs import digest_of

pytestmark = pytest.mark.engine

SCRIPT = """
import pathlib
text = [path.read_text() for path in sorted(pathlib.Path('/inputs/data').rglob('*')) if path.is_file()]
open('out.txt', 'w').write('|'.join(text))
"""


def test_boxes_fetch_the_data_by_its_digest_and_once(team: Team, tmp_path: Path) -> None:
    data = tmp_path / "mine" / "data"
    (data / "sub").mkdir(parents=True)
    (data / "a.txt").write_text("A")
    (data / "sub" / "b.txt").write_text("B")
    folder = digest_of(data)
    spec = write_job(tmp_path / "job", SCRIPT, f"inputs: {{data: {data}}}")
    run = team.person.queue(spec)
    shutil.rmtree(data)
    team.worker(team.alpha)
    first = team.until(run, *FINAL)
    assert (first["state"], first["box_name"]) == ("succeeded", "alpha"), first
    # Elsewhere, by the digest alone.
    team.worker(team.beta)
    rerun = team.person.json("rerun", str(first["image"]), "--elsewhere")
    assert rerun["verdict"]["outcome"] == "identical"
    assert rerun["run"]["box_name"] == "beta"
    # A box that has it asks nobody: the store has lost it.
    for digest in (folder, Digest.of(b"A"), Digest.of(b"B")):
        stored(tmp_path / "store", digest).unlink()
    again = team.person.json("rerun", str(first["image"]), "--on", "beta")
    assert again["verdict"]["outcome"] == "identical"


def test_a_box_leaves_a_run_whose_data_it_cannot_get_and_the_person_is_told(
    team: Team, tmp_path: Path
) -> None:
    data = tmp_path / "mine"
    data.mkdir()
    (data / "a.txt").write_text("A")
    spec = write_job(tmp_path / "job", SCRIPT, f"inputs: {{data: {{path: {data}, upload: false}}}}")
    done = team.person.type("submit", str(spec), "--on", "worker", "--detach", "-q")
    run = done.out.strip()
    assert "stays here (upload: false)" not in done.err  # -q says nothing
    data.rename(tmp_path / "aside")
    team.worker(team.alpha)
    said = team.person.type("show", run).out
    assert "no input data" in said, said
    assert team.person.json("show", run)["attempt"] == 0
    (tmp_path / "aside").rename(data)
    assert team.until(run, *FINAL)["state"] == "succeeded"


def test_a_byte_that_changed_in_the_store_fails_the_run_and_is_named(team: Team, tmp_path: Path) -> None:
    data = tmp_path / "mine"
    data.mkdir()
    (data / "a.txt").write_text("A")
    spec = write_job(tmp_path / "job", SCRIPT, f"inputs: {{data: {data}}}")
    run = team.person.queue(spec)
    shutil.rmtree(data)
    blob = stored(tmp_path / "store", Digest.of(b"A"))
    blob.unlink()
    blob.write_bytes(b"B")
    team.worker(team.alpha)
    team.until_told(run, "run.requeued")
    assert team.person.json("show", run)["outputs"] == []
    events = team.person.json("ledger", "log", "--run", run)["events"]
    assert any(Digest.of(b"A") in str(event) for event in events if event["kind"] == "run.requeued")
