"""Slurm: the conformance suite on a real controller with two nodes, and what is Slurm's own.

Both nodes use the default engine and one home: the suite counts containers and kills processes by number.
There are no GPUs: Slurm is told of false ones, so that what it hands over is seen up to the point where
NVML is asked for them. No container has ever run with a GPU that Slurm gave.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import Box, write_job
from support.executor_conformance import *  # noqa: F403
from support.executor_conformance import LONG, QUICK, WHILE, Lab, containers, finished, running, until
from support.restless_job import goes_to_its_end_where_it_does_not_part, stops_where_it_parts
from support.slurm_cluster import SlurmCluster, slurm_cluster

from orchestrator.errors import InfrastructureError
from orchestrator.launch.dispatch import dispatch_run
from orchestrator.launch.dispatch.dispatch_run import advance
from orchestrator.launch.executors import launched_command
from orchestrator.launch.executors import slurm as slurm_module
from orchestrator.launch.executors.executor import AttemptStatus, Launcher, LaunchRequest, Stage
from orchestrator.launch.executors.kinds import kinds_without_engine, launcher_of
from orchestrator.record.run_record import Wanted
from orchestrator.run.attempt_model import State
from orchestrator.spec.jobfile.job_spec import Resources

pytestmark = [pytest.mark.acceptance, pytest.mark.engine]


@pytest.fixture
def cluster(box: Box, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    home = {"REPRISE_HOME": str(box.settings.home)}
    with slurm_cluster({"n1": home, "n2": home}) as made:
        for name, value in made.variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(dispatch_run, "SETTLING", 1.0)
        yield made


@pytest.fixture
def lab(box: Box, cluster: SlurmCluster) -> Lab:
    return Lab(box, "slurm")


def an_attempt(gpus: int = 0, **resources: object) -> LaunchRequest:
    """Of a run that no record knows."""
    return LaunchRequest(
        run=secrets.token_hex(8),
        number=1,
        job="digits",
        gpus=gpus,
        resources=Resources.model_validate({"gpus": gpus, **resources}),
        wanted=Wanted(executor="slurm"),
    )


def job_of(cluster: SlurmCluster, ref: str) -> str:
    return cluster.ask("scontrol", "show", "job", ref.partition("@")[0])


def at_its_end(executor: Launcher, ref: str) -> AttemptStatus:
    end = time.monotonic() + 120
    while not (seen := executor.poll(ref)).over:
        assert time.monotonic() < end, seen
        time.sleep(0.05)
    return seen


@pytest.fixture
def slurm(lab: Lab) -> Iterator[Launcher]:
    with lab.session() as session:
        yield launcher_of(session, "slurm")


def test_a_rerun_is_stopped_where_it_parts_and_nowhere_else(lab: Lab, tmp_path: Path) -> None:
    stops_where_it_parts(lab.box, tmp_path / "parts", "slurm")
    goes_to_its_end_where_it_does_not_part(lab.box, tmp_path / "honest", "slurm")


def test_gpus_of_the_asked_model_are_handed_over(
    cluster: SlurmCluster, slurm: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launched_command, "COMMAND", ("echo",))
    monkeypatch.setenv("SLURM_JOB_GPUS", "7")  # of a job that the person's shell is in
    for gpus, model, node, given in ((1, "A100", "n2", "0"), (2, "H100", "n1", "0,1"), (0, None, "", "")):
        attempt = an_attempt(gpus, gpu=model)
        ref = slurm.submit(attempt)
        assert at_its_end(slurm, ref).stage is Stage.ENDED
        said = slurm.logs(ref).decode()
        assert said == f"execute {attempt.run} --attempt 1 --gpus {given}\n"
        assert slurm.logs(ref, 8).decode() == said[8:]
        job = job_of(cluster, ref)
        if gpus:
            assert f"TresPerNode=gres:gpu:{str(model).lower()}:{gpus}" in job
            assert f" NodeList={node}\n" in job
        else:
            assert "gres" not in job


def test_what_a_run_may_use_is_asked_for(
    cluster: SlurmCluster, slurm: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launched_command, "COMMAND", ("echo",))
    job = job_of(cluster, slurm.submit(an_attempt(cpus=1.5, memory=1 << 30, timeout=90.0)))
    assert "NumCPUs=2 " in job
    assert "MinMemoryNode=1.50G" in job
    assert "TimeLimit=00:32:00" in job
    assert "Requeue=0" in job


def test_what_slurm_will_never_have_ends_the_run_with_its_words(lab: Lab, tmp_path: Path) -> None:
    many = write_job(tmp_path / "many", "pass", "base: cpu\nresources: {gpus: 9, gpu: A100}")
    done = lab.box.type("submit", str(many), "--on", "slurm", "--detach")
    assert done.code == 2
    assert "Requested node configuration is not available" in done.err
    assert "gpu:a100:9" in done.err
    odd = write_job(tmp_path / "odd", "pass", "base: cpu\nresources: {gpus: 1, gpu: B200}")
    done = lab.box.type("submit", str(odd), "--on", "slurm", "--detach")
    assert done.code == 2
    assert "no GPU of Slurm's is called 'B200'; it has a100, h100" in done.err
    runs = lab.box.json("history")["runs"]
    assert [(run["state"], run["failure"]) for run in runs] == [("failed", "infrastructure")] * 2


def test_why_it_waits_is_said_and_a_waiting_job_is_taken_back(
    cluster: SlurmCluster, lab: Lab, tmp_path: Path
) -> None:
    cluster.ask("scontrol", "update", "NodeName=n1,n2", "State=DRAIN", "Reason=test")
    spec = write_job(tmp_path / "job", QUICK)
    run = lab.box.queue(spec, on="slurm")
    with lab.session() as session:
        (launched,) = session.record.launched(run)
        assert launched.ref is not None
        end = time.monotonic() + 120
        while "down" not in (detail := advance(session, run).detail).lower():
            assert time.monotonic() < end, detail
            time.sleep(0.2)
    assert lab.box.json("cancel", run)["state"] == "cancelled"
    assert "JobState=CANCELLED" in job_of(cluster, launched.ref)
    assert containers(run) == []


def test_a_process_that_does_not_come_up_says_why(slurm: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launched_command, "COMMAND", ("/nowhere/python",))
    ref = slurm.submit(an_attempt())
    seen = at_its_end(slurm, ref)
    assert (seen.stage, seen.cancelled) == (Stage.ENDED, False)
    assert "FAILED" in seen.detail
    assert "/nowhere/python" in slurm.logs(ref).decode()


def test_in_a_store_of_many_our_own_process_writes_its_log(
    lab: Lab, slurm: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm's daemon would follow a link that lies there before the job starts."""
    store = lab.box.settings.store
    store.mkdir(exist_ok=True)
    store.chmod(0o777)
    attempt = an_attempt()
    ref = slurm.submit(attempt)
    at_its_end(slurm, ref)
    assert attempt.run in slurm.logs(ref).decode()
    monkeypatch.setattr(launched_command, "COMMAND", ("/nowhere/python",))
    ref = slurm.submit(an_attempt())
    at_its_end(slurm, ref)
    assert "/nowhere/python is not found on its node" in slurm.logs(ref).decode()


def test_silence_and_another_cluster_decide_nothing(
    cluster: SlurmCluster, slurm: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launched_command, "COMMAND", ("echo",))
    attempt = an_attempt()
    ref = slurm.submit(attempt)
    at_its_end(slurm, ref)
    other = cluster.ask("sbatch", "--parsable", "--output=/dev/null", "--wrap=true")
    elsewhere = f"{ref.partition('@')[0]}@another/root"
    assert slurm.poll(elsewhere).stage is Stage.RUNNING
    slurm.cancel(elsewhere)
    never = f"4711@{cluster.name}/ada"
    assert slurm.poll(never).stage is Stage.UNKNOWN
    assert slurm.poll_many([ref, elsewhere, never]) == {ref: slurm.poll(ref)}
    slurm.cancel(never)
    with monkeypatch.context() as shown_our_own_only:
        shown_our_own_only.setattr(slurm_module, "_here", lambda: slurm_module.Cluster(cluster.name, True))
        assert slurm.poll(never).stage is Stage.RUNNING
    with monkeypatch.context() as shell:
        shell.setenv("SQUEUE_PARTITION", "nothing")
        shell.setenv("SLURM_CLUSTERS", "another")
        assert slurm.poll(ref).stage is Stage.ENDED
    assert slurm.poll(f"{other}@{cluster.name}/root").stage is Stage.UNKNOWN, "not a job of ours"
    cluster.stop_controller()
    monkeypatch.setattr(slurm_module, "PATIENCE", 2.0)  # squeue itself would try for ten seconds
    with pytest.raises(InfrastructureError, match="Slurm: squeue"):
        slurm.poll(ref)
    cluster.start_controller()
    assert slurm.submit(attempt) == ref


def test_a_machine_without_slurm_says_so_and_sees_the_record(lab: Lab, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", QUICK)
    empty = tmp_path / "bin"
    empty.mkdir()
    path = f"{Path(sys.executable).parent}:{empty}"
    refused = lab.box.type("submit", str(spec), "--on", "slurm", PATH=path)
    assert refused.code == 2
    assert "no sbatch on this machine" in refused.err
    assert lab.box.json("history")["runs"] == []
    with lab.session() as session:
        run = lab.queue(session, tmp_path / "again", QUICK)
    assert lab.box.type("worker", "dispatch", "--once", PATH=path).code == 0
    assert lab.box.json("cancel", run)["state"] == "cancelled"


FAILS = """#!/bin/sh
echo >>{count}
if [ $(wc -l <{count}) -le 2 ]; then
    echo 'sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying' >&2
    exit 1
fi
exec {real} "$@"
"""


def test_sbatch_that_fails_for_a_moment_is_asked_again(lab: Lab, tmp_path: Path) -> None:
    count, folder = tmp_path / "count", tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(FAILS.format(count=count, real=shutil.which("sbatch")))
    (folder / "sbatch").chmod(0o755)
    spec = write_job(tmp_path / "job", QUICK)
    path = f"{folder}:{os.environ['PATH']}"
    run = lab.box.queue(spec, on="slurm", PATH=path)
    assert len(count.read_text().splitlines()) == 3
    with lab.session() as session:
        assert finished(lab, session, run).state is State.SUCCEEDED
        (launched,) = session.record.launched(run)
    assert launched.number == 1


def test_somebody_waits_for_it_and_a_scancel_is_a_cancel(
    cluster: SlurmCluster, lab: Lab, tmp_path: Path
) -> None:
    process = lab.box.start("submit", str(write_job(tmp_path / "job", LONG)), "--on", "slurm")
    with lab.session() as session:
        end = time.monotonic() + 120
        while not (runs := session.record.open_elsewhere(kinds_without_engine())):
            assert time.monotonic() < end
            time.sleep(0.2)
        run = runs[0].id
        running(lab, session, run)
        (launched,) = session.record.launched(run)
        cluster.ask("scancel", str(launched.ref).partition("@")[0])
        out, err = process.communicate(timeout=180)
        assert process.returncode == 130, err
        assert "up\n" in out
        record = finished(lab, session, run)
        assert record.state is State.CANCELLED
        assert "cancelled in Slurm" in record.message
        assert containers(run) == []


def test_a_node_that_is_taken_down_costs_an_attempt_and_not_the_run(
    cluster: SlurmCluster, lab: Lab, tmp_path: Path
) -> None:
    with lab.session() as session:
        run = lab.queue(session, tmp_path / "job", WHILE)
        running(lab, session, run)
        (first,) = session.record.launched(run)
        node = re.search(r" NodeList=(n\d)", job_of(cluster, str(first.ref)))
        assert node is not None
        cluster.ask("scontrol", "update", f"NodeName={node[1]}", "State=DOWN", "Reason=test")
        until(lab, session, run, lambda: session.record.open_run(run).attempt == 2)
        assert containers(run) in ([], [f"run-{run}-2"])
        record = finished(lab, session, run)
        assert (record.state, record.attempt) == (State.SUCCEEDED, 2)
        given_up = session.record.launched(run)[0]
        assert "NODE_FAIL" in str(given_up.ended)
        assert containers(run) == []
