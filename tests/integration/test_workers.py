"""Workers of a team: two boxes, one record, one store, one registry, and people without an engine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from support.box import WAITS, Box, containers, let_go, write_job
from support.forged_rows import change_run, engine_of
from support.team import FINAL, Team

from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.launch.workers.worker_loop import Worker as WorkerLoop
from orchestrator.record.schema import tables
from orchestrator.settings import load

pytestmark = pytest.mark.engine


@pytest.mark.acceptance
def test_12_runs_on_two_boxes_with_a_worker_killed_meanwhile(team: Team, tmp_path: Path) -> None:
    script = "import sys, time; time.sleep(0.5); open('n.txt', 'w').write(sys.argv[1])"
    spec = write_job(tmp_path / "job", script)
    spec.write_text('name: many\nbase: cpu\ncommand: [python, main.py, "{n}"]\nparams: {n: 0}\n')
    team.worker(team.alpha)
    killed = team.worker(team.beta)

    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda n: team.person.queue(spec, "-p", f"n={n}"), range(12)))
    killed.process.kill()
    killed.process.communicate()
    team.worker(team.beta)
    shown = [team.until(run, *FINAL) for run in runs]
    lines = team.person.json("history", "--limit", "100")["runs"]
    assert sorted(line["id"] for line in lines) == sorted(runs)
    assert [run["state"] for run in shown] == ["succeeded"] * 12, [run["message"] for run in shown]
    assert [run["attempt"] for run in shown] == [1] * 12
    assert {run["box_name"] for run in shown} == {"alpha", "beta"}
    texts = [output["digest"] for run in shown for output in run["outputs"]]
    assert len(set(texts)) == 12
    assert [name for run in runs for name in containers(run)] == []


def test_submitted_without_an_engine_it_is_waited_for_with_log_and_exit_code(
    team: Team, tmp_path: Path
) -> None:
    team.worker(team.alpha)
    spec = write_job(tmp_path / "job", "import time; print('hello'); time.sleep(1); raise SystemExit(3)")
    done = team.person.type("submit", str(spec), "--on", "alpha")
    assert done.code == 1, done.err
    assert "hello" in done.out
    assert "alpha" in done.out
    run = team.person.json("history")["runs"][0]["id"]
    assert team.person.type("logs", run).out == "hello\n"


def test_a_rerun_elsewhere_is_judged_there(team: Team, tmp_path: Path) -> None:
    team.worker(team.alpha)
    spec = write_job(tmp_path / "job", "open('a.txt', 'w').write('a')")
    first = team.person.json("submit", str(spec), "--on", "alpha")
    refused = team.person.type("rerun", first["image"], "--elsewhere")
    assert refused.code == 2
    assert "any box but this one" in refused.err
    team.worker(team.beta)
    again = team.person.json("rerun", first["image"], "--elsewhere")
    assert again["verdict"]["outcome"] == "identical"
    assert again["run"]["box_name"] == "beta"
    (line,) = team.person.json("show", again["run"]["id"])["verdicts"]
    assert line["outcome"] == "identical"


def test_term_lets_it_finish_and_take_nothing_new(team: Team, tmp_path: Path) -> None:
    worker = team.worker(team.alpha)
    spec = write_job(tmp_path / "job", WAITS)
    first, second = (team.person.queue(spec) for _ in range(2))
    team.until_told(first, "running")
    assert team.boxes()["alpha"]["runs"] == [first]
    worker.process.send_signal(signal.SIGTERM)
    end = time.monotonic() + 120
    while team.boxes()["alpha"]["state"] != "draining":  # until the job is let go
        assert time.monotonic() < end
        time.sleep(0.5)
    let_go(team.alpha, first)
    assert worker.stop() == 0
    assert team.person.json("show", first)["state"] == "succeeded"
    assert team.person.json("show", second)["state"] == "queued"
    assert team.boxes()["alpha"]["state"] == "down"
    assert "no box with a worker is up" in team.person.type("show", second).out
    assert team.person.json("cancel", second)["state"] == "cancelled"


def test_a_second_term_cancels_what_it_has(team: Team, tmp_path: Path) -> None:
    worker = team.worker(team.alpha)
    spec = write_job(tmp_path / "job", "import time; time.sleep(300)")
    run = team.person.queue(spec)
    team.until_told(run, "running")
    assert worker.stop(signal.SIGTERM, signal.SIGTERM) == 0
    assert team.person.json("show", run)["state"] == "cancelled"
    assert containers(run) == []


def test_a_run_for_a_gpu_that_nobody_has_stays_queued_and_says_why(team: Team, tmp_path: Path) -> None:
    team.worker(team.alpha)
    spec = write_job(tmp_path / "job", "pass", "base: cpu\nresources: {gpus: 1, gpu: H100}")
    run = team.person.queue(spec)
    time.sleep(2)
    shown = team.person.type("show", run).out
    assert "no box fits: alpha: the run asks for 1 GPU of model H100" in shown
    assert team.person.json("cancel", run)["state"] == "cancelled"


def test_a_box_that_falls_silent_loses_its_runs_to_another(team: Team, tmp_path: Path) -> None:
    dead = team.worker(team.alpha, "--lease", "6")
    spec = write_job(tmp_path / "job", f"{WAITS}\nopen('done.txt', 'w').write('done')")
    run = team.person.queue(spec)
    team.until_told(run, "running")
    dead.process.kill()
    dead.process.communicate()
    with Session(load(team.person.environ)) as session:
        at_it = session.record.open_run(run).executor or ""
    os.kill(int(at_it.removeprefix("pid ")), signal.SIGKILL)
    team.worker(team.beta, "--lease", "6")
    let_go(team.beta, run, 2)
    found = team.until(run, "succeeded", "failed", "lost")
    assert (found["state"], found["attempt"], found["box_name"]) == ("succeeded", 2, "beta")
    # The container of the dead box is still there; its worker, started again, takes it away.
    assert f"run-{run}-1" in containers(run)
    team.worker(team.alpha)
    end = time.monotonic() + 120
    while containers(run) or (team.alpha.settings.attempts / f"{run}-1").exists():
        assert time.monotonic() < end
        time.sleep(0.5)


def test_a_run_whose_process_here_has_not_ended_is_not_taken_again(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives the run back, and then ends: a worker that looks for work between the two leaves it alone."""
    begun: list[str] = []
    monkeypatch.setattr(WorkerLoop, "_spawn", lambda self, run, *rest: begun.append(run))
    spec = write_job(tmp_path / "job", "pass")
    run = team.person.queue(spec)
    with Session(load(team.alpha.environ)) as session, subprocess.Popen(["sleep", "5"]) as process:
        worker = WorkerLoop(session, Silent(), name="alpha")
        session.record.boxes.introduce(worker.facts)
        while not worker._health.fit():  # this box is tried first
            assert worker._health.trouble == "it is being tried"
            time.sleep(0.1)
        worker._children[run] = process
        assert not worker._take([])
        assert begun == []
        del worker._children[run]
        assert worker._take([])
    assert begun == [run]


def test_altered_rows_cost_themselves_and_no_worker(team: Team, tmp_path: Path) -> None:
    """A box that is no box, and a run whose row is no run any more by the time that its process ends."""
    worker = team.worker(team.alpha)
    with engine_of(team.person).begin() as connection:
        row = dict(connection.execute(select(tables.box)).mappings().one())
        connection.execute(insert(tables.box).values(row | {"id": "forged", "name": "forged", "gpus": "x"}))
    first = write_job(tmp_path / "first", WAITS)
    altered = team.person.type("submit", str(first), "--on", "worker", "--detach", "-q").out.strip()
    team.until_told(altered, "running")
    change_run(team.person, altered, program="x")
    let_go(team.alpha, altered)
    second = write_job(tmp_path / "second", "print('here')")
    done = team.person.type("submit", str(second), "--on", "worker", timeout=60)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert worker.process.poll() is None
    assert team.boxes().keys() == {"alpha"}


def test_two_workers_of_one_home_are_refused(team: Team) -> None:
    team.worker(team.alpha)
    refused = team.alpha.type("worker", "start")
    assert refused.code == 2
    assert "at work already" in refused.err


BAD = {
    "registry": {"REPRISE_REGISTRY": "http://127.0.0.1:1/team"},
    "store": {"REPRISE_STORE": "/proc/nowhere/store"},
    "address": {"REPRISE_STORE": "s3://b/x"},
}


def test_boxes_that_cannot_work_leave_the_queue_to_others(
    team: Team, tmp_path: Path, another_box: Callable[[str], Box]
) -> None:
    spec = write_job(tmp_path / "job", "import sys; open('n.txt', 'w').write(sys.argv[1])")
    spec.write_text('name: many\nbase: cpu\ncommand: [python, main.py, "{n}"]\nparams: {n: 0}\n')
    runs = [team.person.queue(spec, "-p", f"n={number}") for number in range(3)]
    for what, variables in BAD.items():
        bad = Box(another_box(f"box-{what}").settings, {**team.alpha.variables, **variables})
        stderr = team.worker(bad, name=what).process.stderr
        assert stderr is not None
        assert "nothing is taken" in stderr.readline(), what
    good = team.worker(team.beta)
    shown = [team.until(run, *FINAL, seconds=120) for run in runs]
    assert [(one["state"], one["box_name"]) for one in shown] == [("succeeded", "beta")] * 3
    found = team.boxes()
    for what in BAD:
        assert found[what]["state"] == "up"
        assert found[what]["trouble"], found[what]
    assert "TAKES NOTHING BECAUSE" in team.person.type("worker", "list").out
    assert good.stop(signal.SIGTERM) == 0
    said = team.person.type("show", team.person.queue(spec, "-p", "n=9")).out
    for what in BAD:
        assert f"{what} takes nothing now" in said


def test_a_run_that_cannot_begin_on_one_box_is_given_to_another(team: Team, tmp_path: Path) -> None:
    """Other bytes lie at its data's path there: only who reads them knows. Nobody kept a copy."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "x.txt").write_text("x")
    spec = write_job(
        tmp_path / "job", "open('out', 'w').write('y')", f"inputs: {{data: {{path: {data}, upload: false}}}}"
    )
    run = team.person.queue(spec)
    (data / "x.txt").write_text("other")
    team.worker(team.alpha)
    team.until_told(run, "run.requeued")
    shown = team.person.json("show", run)
    assert (shown["state"], shown["attempt"]) == ("queued", 1)
    (data / "x.txt").write_text("x")
    team.worker(team.beta)
    shown = team.until(run, *FINAL)
    assert (shown["state"], shown["attempt"], shown["box_name"]) == ("succeeded", 2, "beta")
    lines = team.person.json("ledger", "log", "--run", run)["events"]
    assert any("data" in str(line) for line in lines if line["kind"] == "run.requeued")
