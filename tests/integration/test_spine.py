"""The main job as a user types it: submit, look, rerun by digest, on the real engine."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.box import WAITS, Box, let_go, submit_until_up, write_job

from orchestrator.launch.session import Session
from orchestrator.launch.submit.build_image import BuildRequest, build
from orchestrator.launch.watch import Silent

pytestmark = pytest.mark.engine
JOBS = Path(__file__).resolve().parents[2] / "jobs"


def test_hello_is_recorded_and_rerun_by_its_digest_is_identical(box: Box) -> None:
    run = box.json("submit", str(JOBS / "hello/job.yaml"), "-p", "draws=2")
    assert run["state"] == "succeeded"
    assert run["exit_code"] == 0
    assert run["program"]["params"] == {"name": "world", "draws": 2}
    assert {output["path"] for output in run["outputs"]} == {"greeting.txt", "metrics.json"}
    assert run["metrics"].keys() == {"mean"}
    assert "torch" in run["packages"]
    assert run["fingerprint"]["bit_class"]
    assert run["source"].keys() == {"hello.py"}
    assert run["readbacks"], "the runtime reported nothing"

    again = box.json("rerun", run["image"])
    assert again["verdict"]["outcome"] == "identical"
    assert again["verdict"]["original"] == run["id"]
    assert again["run"]["image"] == run["image"]
    assert again["run"]["rerun_of"] == run["id"]
    assert {line["id"] for line in box.json("history")["runs"]} == {run["id"], again["run"]["id"]}


def test_a_built_image_runs_under_plain_docker_too(box: Box, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", "import sys; print('seen', sys.argv)")
    digest = box.type("build", str(spec), "--load").out.splitlines()[-1]
    tag = f"reprise:{digest.removeprefix('sha256:')}"
    ran = subprocess.run(["docker", "run", "--rm", tag], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "seen ['main.py']\n", "")


def test_a_digest_that_the_record_has_never_seen_runs_from_the_image_alone(
    box: Box, another_box: Callable[[str], Box]
) -> None:
    first = box.json("submit", str(JOBS / "hello/job.yaml"), "-p", "draws=1")
    stranger = another_box("stranger")
    tag = f"reprise:{first['image'].removeprefix('sha256:')}"
    listed = ["docker", "images", "--no-trunc", "--quiet", tag]
    id_there = subprocess.check_output(listed, text=True).strip()  # the manifest's in a containerd store
    for reference in (first["image"], id_there):
        again = stranger.json("rerun", reference)
        assert again["run"]["state"] == "succeeded"
        assert again["run"]["job"] == "hello"
        assert again["run"]["program"] == first["program"]
        digests = {output["path"]: output["digest"] for output in again["run"]["outputs"]}
        assert digests == {output["path"]: output["digest"] for output in first["outputs"]}
    assert again["verdict"]["outcome"] == "identical", "the second rerun has the first to compare with"


def test_an_image_that_the_engine_has_lost_comes_back_from_this_box(box: Box) -> None:
    from orchestrator.run.engine.engine import Engine

    run = box.json("submit", str(JOBS / "hello/job.yaml"), "-p", "name=lost", "-p", "draws=1")
    engine = Engine.connect()
    engine.remove_image(f"reprise:{run['image'].removeprefix('sha256:')}")
    engine.close()
    assert box.json("rerun", run["id"])["verdict"]["outcome"] == "identical"


@pytest.mark.parametrize(
    ("control", "file"),
    [
        ("clock", "clock.txt"),
        pytest.param("urandom", "weights.txt", marks=pytest.mark.acceptance),
        pytest.param("identity", "identity.txt", marks=pytest.mark.acceptance),
        ("race", "order.txt"),
    ],
)
def test_a_control_is_caught_and_its_file_named(box: Box, control: str, file: str) -> None:
    run = box.json("submit", str(JOBS / "controls" / control / "job.yaml"))
    told = box.type("rerun", run["id"])
    assert told.code == 3, told.err
    assert file in told.out
    again = box.json("history")["runs"][0]
    assert (again["rerun_of"], again["verdict"]) == (run["id"], "different")
    compared = box.json("compare", run["id"], again["id"], code=3)["verdict"]
    named = {item["path"]: item for item in compared["files"]}
    assert named[file]["first_byte"] is not None


def test_flags_that_the_script_switched_off_are_shown(box: Box) -> None:
    run = box.json("submit", str(JOBS / "controls/flags_off/job.yaml"))
    assert run["state"] == "succeeded"
    assert run["flags_changed"]["torch.deterministic_algorithms"] == [True, False]
    assert "torch.deterministic_algorithms" in box.type("show", run["id"]).out  # of verdicts: test_flips.py


def test_an_operation_without_a_deterministic_form_fails_the_job(box: Box) -> None:
    run = box.json("submit", str(JOBS / "controls/nondeterministic_op/job.yaml"), code=1)
    assert (run["state"], run["failure"]) == ("failed", "job")
    assert "deterministic" in box.type("logs", run["id"]).out


def test_a_failing_job_is_recorded_with_what_it_left(box: Box, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", "open('half.txt', 'w').write('half'); raise SystemExit(7)")
    run = box.json("submit", str(spec), code=1)
    assert (run["state"], run["failure"], run["exit_code"]) == ("failed", "job", 7)
    assert [output["path"] for output in run["outputs"]] == ["half.txt"]


@pytest.mark.parametrize("text", ["1", "2"])
def test_an_input_that_changes_under_the_job_is_told(box: Box, tmp_path: Path, text: str) -> None:
    data = tmp_path / "data.csv"
    data.write_text("1")
    spec = write_job(tmp_path / "job", WAITS, extra=f"inputs: {{data: {data}}}")
    process, run = submit_until_up(box, spec)
    data.write_text(text)
    let_go(box, run)
    process.communicate(timeout=180)
    found = box.json("show", run)
    touched = "input data was touched while the job ran; at its end it has the same bytes"
    assert (touched in found["notes"]) is (text == "1")
    if text == "1":
        assert found["state"] == "succeeded"
    else:
        assert (found["state"], found["failure"]) == ("failed", "infrastructure")
        assert "input data was changed while the job ran" in found["message"]


def test_a_cancel_is_heard_while_an_input_is_hashed(box: Box, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("1")
    spec = write_job(tmp_path / "job", "pass", extra=f"inputs: {{data: {data}}}")
    run = box.json("submit", str(spec), "--on", "worker", "--detach")["id"]
    os.truncate(data, 1 << 42)  # four tebibytes of nothing: they take an hour
    process = box.start("execute", run)
    end = time.monotonic() + 120
    while not any(one["kind"] == "run.claimed" for one in box.json("ledger", "log", "--run", run)["events"]):
        assert time.monotonic() < end
        time.sleep(0.7)
    box.json("cancel", run)
    process.communicate(timeout=120)
    assert box.json("show", run)["message"] == "cancelled before it began"


def test_inputs_are_mounted_read_only_and_are_identity(box: Box, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "x.txt").write_text("one")
    script = """
import pathlib
try:
    open('/inputs/data/new', 'w')
except OSError as error:
    print(error)
pathlib.Path('copy.txt').write_text(pathlib.Path('/inputs/data/x.txt').read_text())
"""
    spec = write_job(tmp_path / "job", script, extra=f"inputs: {{data: {data}}}")
    run = box.json("submit", str(spec))
    assert run["state"] == "succeeded"
    assert box.json("rerun", run["id"])["verdict"]["outcome"] == "identical"
    (data / "x.txt").write_text("two")
    changed = box.type("rerun", run["id"])
    assert changed.code == 2, changed.err
    assert "data" in changed.err
    assert len(box.json("history")["runs"]) == 2, "a rerun that could not begin left a run behind"
    assert box.json("submit", str(spec))["image"] != run["image"]


def test_outputs_are_copied_out_and_verified(box: Box, tmp_path: Path) -> None:
    run = box.json("submit", str(JOBS / "hello/job.yaml"), "-p", "draws=1")
    target = tmp_path / "out"
    assert box.type("outputs", run["id"], "--to", str(target)).code == 0
    assert "Hello, world!" in (target / "greeting.txt").read_text()
    assert json.loads((target / "metrics.json").read_text())["mean"] == run["metrics"]["mean"]


def test_the_same_key_is_the_same_run(box: Box) -> None:
    spec = str(JOBS / "hello/job.yaml")
    one = box.json("submit", spec, "-p", "draws=1", "--key", "nightly")
    two = box.json("submit", spec, "-p", "draws=1", "--key", "nightly")
    assert one["id"] == two["id"]
    assert len(box.json("history")["runs"]) == 1


def test_a_dry_run_leaves_nothing(box: Box) -> None:
    plan = box.json("submit", str(JOBS / "hello/job.yaml"), "--dry-run")
    assert plan["image"]["digest"].startswith("sha256:")
    assert plan["plan"]["network"] == "none"
    assert box.json("history")["runs"] == []


def test_the_record_is_plain_sqlite(box: Box) -> None:
    run = box.json("submit", str(JOBS / "hello/job.yaml"), "-p", "draws=1")
    with sqlite3.connect(box.settings.home / "reprise.db") as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        assert db.execute("pragma foreign_key_check").fetchall() == []
        assert run["id"] in str(db.execute("select * from run").fetchall())


def test_a_gpu_that_is_not_there_is_an_error_before_anything_is_built(box: Box, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", "pass", extra="base: cpu\nresources: {gpus: 64}")
    outcome = box.type("submit", str(spec))
    assert outcome.code == 2
    assert "GPU" in outcome.err
    assert not (box.settings.home / "reprise.db").exists() or box.json("history")["runs"] == []


def test_a_job_for_gpus_is_assembled_where_there_is_none(box: Box, tmp_path: Path) -> None:
    """GPUs are no part of an image but of the program in it, and a box without any may push it."""
    spec = write_job(tmp_path / "job", "pass", extra="base: cpu\nresources: {gpus: 64}")
    assert box.json("build", str(spec))["program"]["gpus"] == 64


def test_the_spec_file_is_no_source_by_whatever_path_it_is_named(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_job(tmp_path / "job", "pass")
    spec = spec.rename(spec.with_name("first.yaml"))
    (tmp_path / "other").mkdir()
    (tmp_path / "folder").symlink_to("job")
    (spec.parent / "second.yaml").symlink_to("first.yaml")
    monkeypatch.chdir(tmp_path / "other")
    named = ("../job/first.yaml", spec, "../folder/first.yaml", "../job/../job/second.yaml")
    with Session(box.settings) as session:
        built = [build(session, BuildRequest(spec_path=Path(path)), Silent()) for path in named]
    assert {tuple(file.path for file in one.source.files) for one in built} == {("main.py",)}
    assert len({one.image.digest for one in built}) == 1


def test_a_box_that_was_deleted_starts_afresh(box: Box) -> None:
    box.json("submit", str(JOBS / "hello/job.yaml"), "-p", "draws=1")
    shutil.rmtree(box.settings.home / "store")
    run = box.json("submit", str(JOBS / "hello/job.yaml"), "-p", "draws=1")
    assert run["state"] == "succeeded"
