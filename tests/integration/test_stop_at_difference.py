"""`rerun --stop-at-difference`: each planted difference is stopped at its step, honest reruns never are."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.box import Box, containers, stored, write_job
from support.flipped_jobs import Originals, flip_world
from support.flips import FLIPS, SCRIPT, Flip
from support.restless_job import RESTLESS, restless, stops_where_it_parts
from support.team import Team

from orchestrator.launch.crash_points import VARIABLE
from orchestrator.launch.session import Session
from orchestrator.launch.submit.build_image import BuildRequest
from orchestrator.launch.submit.rerun_run import RerunRequest, rerun
from orchestrator.launch.submit.submit_run import submit
from orchestrator.launch.watch import Silent
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import State
from orchestrator.verdict.verdict_model import Verdict

pytestmark = pytest.mark.engine

PAUSE = 1.2  # seconds of a step, so that what is stopped at step 4 of 6 is stopped before its end
SLOW = (
    SCRIPT.replace("import json,", "import time, json,")
    .replace("    optimizer.step()\n", f"    optimizer.step()\n    time.sleep({PAUSE})\n")
    # What the script moves is known of a job that was killed, too.
    .replace('if flip == "flag":', 'if flip in ("flag", "gradient"):')
)
# Flips of the world outside an image; the others are of another program, which no rerun has.
RERUNS = [flip for flip in FLIPS if flip.seed is None and not flip.data]
EQUAL = ("precision of", "a determinism flag", "a file, not")  # they move no bit of the training here
PARTING = [flip for flip in RERUNS if not flip.name.startswith(EQUAL)]


@pytest.fixture(scope="module")
def originals(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Originals:
    return Originals(session, tmp_path_factory.mktemp("original"), SLOW)


@pytest.fixture
def flipped(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Flip, RunRecord, int | None], tuple[RunRecord, Verdict]]:
    def run(flip: Flip, before: RunRecord, stop_after: int | None) -> tuple[RunRecord, Verdict]:
        flip_world(monkeypatch, flip)
        record, verdict = rerun(session, RerunRequest(target=before.id, stop_after=stop_after), Silent())
        assert verdict is not None
        return record, verdict

    return run


def last_step(session: Session, run: RunRecord) -> int:
    with session.store.open(run.traces[0].digest) as stream:
        lines = [json.loads(line) for line in stream if line.endswith(b"\n")]
    return max(line["s"] for line in lines if "e" in line)


def stopped_as_it_would_be_judged(
    session: Session, before: RunRecord, flip: Flip, flipped: Callable[..., tuple[RunRecord, Verdict]]
) -> None:
    run, verdict = flipped(flip, before, 0)
    assert (run.state, run.parted_at) == (State.CANCELLED, verdict.first and verdict.first.step)
    whole, at_its_end = flipped(flip, before, None)
    assert whole.state is State.SUCCEEDED
    assert verdict.outcome is at_its_end.outcome
    assert verdict.first == at_its_end.first
    assert [cause.kind for cause in verdict.causes] == [cause.kind for cause in at_its_end.causes]
    assert verdict.causes[0].text.replace(run.id, whole.id) == at_its_end.causes[0].text
    assert verdict.flags_changed == at_its_end.flags_changed
    assert verdict.stopped is not None and verdict.stopped.saved is not None
    assert verdict.stopped.saved > 0
    assert verdict.first is not None
    # A step takes PAUSE: the job was ended less than 2 seconds after the step, or not long after.
    assert last_step(session, run) <= verdict.first.step + 1


def test_on_a_worker_a_rerun_is_stopped_where_it_parts(team: Team, tmp_path: Path) -> None:
    """For a person whose shell has no engine."""
    team.worker(team.alpha)
    stops_where_it_parts(team.person, tmp_path / "job", "worker")


@pytest.mark.acceptance
@pytest.mark.parametrize("flip", PARTING, ids=[flip.name for flip in PARTING])
def test_each_planted_difference_is_stopped_at_its_step(
    session: Session,
    originals: Originals,
    flip: Flip,
    flipped: Callable[..., tuple[RunRecord, Verdict]],
) -> None:
    stopped_as_it_would_be_judged(session, originals.of(flip), flip, flipped)


@pytest.mark.acceptance
def test_what_differs_beside_the_training_stops_nothing(
    session: Session,
    originals: Originals,
    flipped: Callable[..., tuple[RunRecord, Verdict]],
) -> None:
    for flip in RERUNS:
        if flip not in PARTING:
            run, verdict = flipped(flip, originals.of(flip), 0)
            assert (run.state, run.parted_at, verdict.stopped) == (State.SUCCEEDED, None, None)
            assert verdict.first is None


@pytest.mark.acceptance
def test_200_honest_reruns_are_not_stopped(session: Session) -> None:
    """Of the zoo. Some of them run in every test run: test_zoo.py."""
    spec = Path(__file__).resolve().parents[2] / "jobs" / "zoo" / "job.yaml"
    originals = []
    for script in ("cnn", "transformer", "vae", "lstm", "gan", "rl"):
        run = submit(session, BuildRequest(spec_path=spec, params={"script": script}), Silent())
        assert run.state is State.SUCCEEDED, run.message
        originals.append(run)
    for number in range(200):
        before = originals[number % len(originals)]
        run, verdict = rerun(session, RerunRequest(target=before.id, stop_after=0), Silent())
        assert (run.state, verdict and verdict.outcome) == (State.SUCCEEDED, "identical"), (number, before.id)


@pytest.mark.acceptance
def test_killed_after_it_was_found_the_next_process_ends_the_run_for_the_same_reason(
    own_box: Box, tmp_path: Path
) -> None:
    made = own_box.json("submit", str(write_job(tmp_path / "job", restless(6, 1))))
    process = own_box.start("rerun", "--stop-at-difference", made["id"])
    deadline = time.monotonic() + 120
    while not (found := list(own_box.settings.attempts.glob("*/parted.json"))):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    run = found[0].parent.name.partition("-")[0]
    own_box.type("worker", "recover")
    shown = own_box.json("show", run)
    assert (shown["state"], shown["parted_at"]) == ("cancelled", 2)
    assert [line["outcome"] for line in shown["verdicts"]] == ["different"]
    assert containers(run) == []


@pytest.mark.acceptance
def test_killed_before_it_was_seen_the_next_process_compares_from_the_start(
    own_box: Box, tmp_path: Path
) -> None:
    made = own_box.json("submit", str(write_job(tmp_path / "job", restless(6, 1))))
    killed = own_box.type("rerun", "--stop-at-difference", made["id"], **{VARIABLE: "started"})
    assert killed.code == -signal.SIGKILL
    own_box.type("worker", "recover")
    (line,) = [line for line in own_box.json("history")["runs"] if line["rerun_of"] == made["id"]]
    assert (line["state"], line["verdict"]) == ("cancelled", "different")


@pytest.mark.acceptance
def test_why_a_rerun_could_not_be_compared_is_in_the_record(own_box: Box, tmp_path: Path) -> None:
    """An honest one, whose original's trace was altered in the store: it is not stopped for that."""
    script = RESTLESS.format(steps=4, pause=0.6, difference=1)
    made = own_box.json("submit", str(write_job(tmp_path / "job", script)))
    blob = stored(own_box.settings.store, made["traces"][0]["digest"])
    blob.chmod(0o644)
    data = blob.read_bytes()
    at = data.index(b'"d":"') + 5
    blob.write_bytes(data[:at] + (b"0" if data[at : at + 1] != b"0" else b"1") + data[at + 1 :])
    again = own_box.type("rerun", "--stop-at-difference", made["id"], "--json").json["run"]
    assert (again["state"], again["parted_at"]) == ("succeeded", None)
    assert "goes to its end" in again["notes"][-1]
    assert "is damaged in the store" in again["notes"][-1]
    blob.unlink()
    refused = own_box.type("rerun", "--stop-at-difference", made["id"])
    assert refused.code == 2
    assert "is not in the store" in refused.err
