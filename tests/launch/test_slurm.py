"""What is asked of Slurm, and what its answers mean; for the cluster: tests/integration/test_slurm.py."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.records import new_run

from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.launch.execute.recover import dispatch
from orchestrator.launch.executors import launched_command, slurm, slurm_text
from orchestrator.launch.executors.executor import LaunchRequest, Stage
from orchestrator.launch.executors.visible_gpus import visible_gpus
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.record.run_record import Wanted
from orchestrator.run.hardware import Gpu
from orchestrator.settings import load
from orchestrator.spec.jobfile.job_spec import Resources

NODES = [
    "gpu:h100:2",
    "(null)",
    "gpu:nvidia_a100-sxm4-40gb:4(S:0-1),shard:8",
    "gpu:a100_80gb:8",
    "gpu:1080ti:1",
]


def attempt(gpus: int = 0, **resources: object) -> LaunchRequest:
    return LaunchRequest(
        run="0123456789abcdef",
        number=2,
        job="digits",
        gpus=gpus,
        resources=Resources.model_validate({"gpus": gpus, **resources}),
        wanted=Wanted(executor="slurm"),
    )


@pytest.mark.parametrize(
    ("gpus", "model", "nodes", "gres"),
    [
        (0, "H100", NODES, None),
        (2, None, NODES, "gpu:2"),
        (2, "H100", NODES, "gpu:h100:2"),
        (1, "1080 Ti", NODES, "gpu:1080ti:1"),
        (1, "A100", NODES, "gpu:a100_80gb:1"),  # of two that fit, the one with more GPUs
        (1, "a100-SXM4-40GB", NODES, "gpu:nvidia_a100-sxm4-40gb:1"),
        (1, "A100", [*NODES, "gpu:a100:1"], "gpu:a100:1"),  # the whole name comes before a part of one
        (1, "NVIDIA A100 80GB PCIe", ["gpu:a100:1"], "gpu:a100:1"),
        (1, "A100", ["gpu:4"], "gpu:1"),  # no types: the node looks
        (1, "A100", [], "gpu:1"),
    ],
)
def test_the_model_is_found_among_slurms_types(
    gpus: int, model: str | None, nodes: list[str], gres: str | None
) -> None:
    assert slurm_text.gres_of(attempt(gpus, gpu=model), nodes) == gres


def test_a_model_that_no_type_is_called_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'B200'; it has 1080ti, a100_80gb, h100, nvidia_a100-sxm4-40gb"):
        slurm_text.gres_of(attempt(1, gpu="B200"), NODES)


def run_script(made: LaunchRequest, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh"],
        input=slurm_text.script(made),
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_hands_over_the_gpus_of_the_allocation_and_none_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(launched_command, "COMMAND", ("printf", "<%s>"))
    words = "<execute><0123456789abcdef><--attempt><2><--gpus>"
    confined = {"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "0,1"}
    assert run_script(attempt(2), **confined).stdout == f"{words}<2,3>"
    assert run_script(attempt(0), **confined).stdout == f"{words}<>"
    nothing = run_script(attempt(1), CUDA_VISIBLE_DEVICES="0")
    assert nothing.returncode != 0
    assert nothing.stdout == ""
    assert "Slurm does not say which GPUs" in nothing.stderr


def test_a_process_that_sees_only_its_own_gpus_takes_them_all() -> None:
    facts = {"name": "H100", "compute": "9.0", "sms": 132, "memory": 1, "driver": "", "vbios": ""}
    box = tuple(Gpu(uuid=f"GPU-{number}", mig=False, **facts) for number in range(4))
    assert visible_gpus(box, "2,3") == box[2:]
    assert visible_gpus(box[2:], "2,3") == box[2:], "NVML shows those of the job alone, numbered from 0"
    assert visible_gpus(box, "") == ()
    assert visible_gpus(box, "GPU-3") == (box[3],)
    assert visible_gpus(box[3:], "GPU-3") == (box[3],)
    for wrong in ("4", "0,7", "GPU-9"):
        with pytest.raises(UsageError, match="no GPU"):
            visible_gpus(box, wrong)
    with pytest.raises(UsageError, match="no GPU"):
        visible_gpus((), "0")


def test_limits_become_slurms_and_leave_room_for_us() -> None:
    words = slurm_text.options(attempt(cpus=2.5, memory=(1 << 30) + 1, timeout=61.0), "gpu:h100:1", "/log")
    assert {"--cpus-per-task=3", "--mem=1537M", "--time=32", "--gres=gpu:h100:1", "--output=/log"} <= set(
        words
    )
    plain = slurm_text.options(attempt(), None, "/log")
    assert not [word for word in plain if word.startswith(("--cpus", "--mem", "--time", "--gres"))]
    assert {"--no-requeue", "--job-name=reprise-0123456789abcdef-2"} <= set(plain)


def test_a_node_gets_the_shared_parts_and_not_the_persons_own() -> None:
    shell = {
        "PATH": "/bin",
        "AWS_PROFILE": "team",
        "SBATCH_PARTITION": "gpu",
        "SLURM_CONF": "/etc/slurm.conf",
        "SLURM_JOB_GPUS": "5",
        "SBATCH_CLUSTERS": "another",
        "SQUEUE_FORMAT": "%A",
        "CUDA_VISIBLE_DEVICES": "5",
        "REPRISE_HOME": "/home/ada",
        "REPRISE_STORE": "store",
        "DOCKER_HOST": "unix:///ada",
    }
    kept = {"PATH", "AWS_PROFILE", "SBATCH_PARTITION", "SLURM_CONF"}
    given = slurm_text.slurm_environment(shell, {"REPRISE_STORE": "/team/store"})
    assert given == {name: shell[name] for name in kept} | {"REPRISE_STORE": "/team/store"}


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        *((word, Stage.WAITING) for word in ("PENDING", "CONFIGURING", "REQUEUED", "SPECIAL_EXIT")),
        *(
            (word, Stage.RUNNING)
            for word in ("RUNNING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "A_NEW_WORD")
        ),
        *((word, Stage.ENDED) for word in ("COMPLETED", "FAILED", "NODE_FAIL", "PREEMPTED", "TIMEOUT")),
        *((word, Stage.ENDED) for word in ("CANCELLED", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")),
    ],
)
def test_every_state_of_slurms_has_a_stage(state: str, stage: Stage) -> None:
    seen = slurm_text.seen_of(f"{state}|None|reprise-0123456789abcdef-1")
    assert seen.stage is stage
    assert seen.cancelled is (state == "CANCELLED")


def test_reasons_are_told_in_words() -> None:
    def said(state: str) -> str:
        return slurm_text.seen_of(f"{state}|reprise-0123456789abcdef-1").detail

    assert said("PENDING|Resources") == "Resources: nodes that fit are busy"
    reason = "ReqNodeNotAvail, UnavailableNodes:n[1-2]"
    assert said(f"PENDING|{reason}") == f"{reason}: nodes that fit are down or reserved"
    assert said("PENDING|SomethingNew") == "SomethingNew"
    assert "its node died" in said("NODE_FAIL|None")
    assert "REPRISE_STORE" in said("FAILED|JobLaunchFailure")
    assert "(" not in said("FAILED|NonZeroExitCode")


def test_a_number_that_slurm_gave_to_another_job_is_unknown() -> None:
    assert slurm_text.seen_of("RUNNING|None|training").stage is Stage.UNKNOWN


def test_rights_and_limits_of_a_person_are_not_the_requests_fault() -> None:
    failed = "sbatch: error: Batch job submission failed: "
    assert slurm_text.never(f"{failed}Requested node configuration is not available")
    assert slurm_text.never(f"{failed}Invalid generic resource (gres) specification")
    for other in (
        "Unable to contact slurm controller (connect failure)",
        "Invalid account or account/partition combination specified",
        "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    ):
        assert not slurm_text.never(failed + other)


@pytest.mark.parametrize(
    "ref",
    ["", "12@lab", "12@/ada", "../x@lab/ada", "12@../../lab/ada", "12@lab/a/b", "-1@lab/ada", "12@lab/ada\n"],
)
def test_a_ref_that_leads_elsewhere_is_refused(ref: str, tmp_path: Path) -> None:
    executor = slurm.SlurmExecutor(load({"REPRISE_HOME": str(tmp_path)}))
    asks: list[Callable[[str], object]] = [executor.logs, executor.poll, executor.cancel]
    for ask in asks:
        with pytest.raises(InfrastructureError, match="JOBID@CLUSTER/USER"):
            ask(ref)


def test_the_log_of_a_job_is_read_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Slurm's commands know of no cluster, too."""
    put_tools(tmp_path, monkeypatch, "echo 'scontrol: fatal: no configuration' >&2\nexit 1\n")
    executor = slurm.SlurmExecutor(load({"REPRISE_HOME": str(tmp_path)}))
    assert executor.logs("1@lab/ada") == b""
    folder = tmp_path / "store" / "launched"
    folder.mkdir(parents=True)
    (folder / "1@lab.log").write_bytes(b"one\ntwo\n")
    assert executor.logs("1@lab/ada", 4) == b"two\n"
    (folder / "2@lab.log").symlink_to(folder / "1@lab.log")
    assert executor.logs("2@lab/ada") == b""


def put_tools(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Slurm's commands: all of them are this script."""
    for tool in slurm.TOOLS:
        (folder / tool).write_text(f"#!/bin/sh\n{script}")
        (folder / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))


SQUEUE = """#!/bin/sh
echo "$@" >>{folder}/asked
case "$*" in
*--jobs=1,2*) echo '1|RUNNING|None|{ours}-1'; echo '2|PENDING|Priority|{ours}-2' ;;
esac
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Slurm's commands that know two running jobs; what squeue is asked is in `asked`."""
    put_tools(tmp_path, monkeypatch, "echo 'ClusterName = lab'\n")
    (tmp_path / "squeue").write_text(SQUEUE.format(folder=tmp_path, ours="reprise-0123456789abcdef"))
    return tmp_path


def test_one_squeue_says_where_many_runs_are(session: Session, cluster: Path) -> None:
    """Of one that it does not name, and of those of other clusters, `poll` knows more."""
    for ref in ("1@lab/ada", "2@lab/bob", "4@other/ada"):
        run, _ = session.record.submit(new_run(wanted=Wanted(executor="slurm")))
        session.record.launch(run, 1, "slurm", "ada")
        session.record.save_ref(run, 1, ref)
    dispatch(session, Silent())
    assert len((cluster / "asked").read_text().splitlines()) == 1
    polled = slurm.SlurmExecutor.connect(session).poll_many(["1@lab/ada", "2@lab/bob", "3@lab/ada"])
    assert [(ref, seen.stage) for ref, seen in polled.items()] == [
        ("1@lab/ada", Stage.RUNNING),
        ("2@lab/bob", Stage.WAITING),
    ]
    assert "Priority" in polled["2@lab/bob"].detail


def test_a_squeue_that_fails_leaves_each_run_to_itself(session: Session, cluster: Path) -> None:
    (cluster / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert slurm.SlurmExecutor.connect(session).poll_many(["1@lab/ada", "2@lab/ada"]) == {}
    assert slurm.SlurmExecutor.connect(session).poll_many(["../x", "5@other/ada"]) == {}


@pytest.mark.parametrize("said", ["scontrol: fatal: Could not establish a configuration source", ""])
def test_commands_without_a_cluster_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    put_tools(tmp_path, monkeypatch, f"echo '{said}' >&2\nexit 1\n")
    session = Session(load({"REPRISE_HOME": str(tmp_path / "home")}))
    if not said:  # a controller that is silent takes the run later
        assert slurm.SlurmExecutor.connect(session).kind == "slurm"
        return
    with pytest.raises(UsageError, match="no cluster is set up here: Could not establish") as caught:
        slurm.SlurmExecutor.connect(session)
    assert "slurm.conf" in (caught.value.hint or "")
