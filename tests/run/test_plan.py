from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.engine_facts import DOCKER
from support.made_up_attempt import container_state

from orchestrator.errors import UsageError
from orchestrator.run.attempt_model import Failure, GpuAccess, Plan, State
from orchestrator.run.collect.collect_result import judge, unsure
from orchestrator.run.engine.container_config import container_config
from orchestrator.run.engine.engine_info import EngineInfo
from orchestrator.run.engine.syscall_filter import profile
from orchestrator.run.follow import Ended
from orchestrator.run.hardware import Gpu, choose_gpus
from orchestrator.run.plan import plan_container
from orchestrator.run.workspace import Folders
from orchestrator.spec.jobfile.job_spec import Resources
from orchestrator.spec.program import Program

H100 = Gpu(
    uuid="GPU-1", name="NVIDIA H100 80GB HBM3", compute="9.0", sms=132, memory=80 << 30, driver="580",
    vbios="1", mig=False,
)  # fmt: skip


def plan(info: EngineInfo = DOCKER, gpus: tuple[Gpu, ...] = (), **resources: Any) -> Plan:
    return plan_container(
        run="a" * 16,
        attempt=1,
        image="reprise:x",
        program=Program(name="j", command=("true",)),
        resources=Resources(**resources),
        folders=Folders(Path("/w"), Path("/r")),
        inputs={"data": Path("/d")},
        gpus=gpus,
        engine=info,
        home="h",
    )


def test_every_setting_of_an_untrusted_job() -> None:
    config = container_config(plan(memory=1 << 30, timeout=5, processes=64))
    host = config["HostConfig"]
    assert config["User"] == "65532:65532"
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges", f"seccomp={profile()}"]
    assert config["Healthcheck"] == {"Test": ["NONE"]}
    assert host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] == "none"
    assert host["IpcMode"] == "private"
    assert host["Init"] is True
    assert host["PidsLimit"] == 64
    assert host["Memory"] == host["MemorySwap"] == 1 << 30
    assert host["ShmSize"] == 1 << 30
    assert "exec" in host["Tmpfs"]["/tmp"]
    assert {"Name": "core", "Soft": 0, "Hard": 0} in host["Ulimits"]
    assert {"Name": "nofile", "Soft": 16384, "Hard": 16384} in host["Ulimits"]
    assert host["LogConfig"]["Type"] == "local"
    assert host["RestartPolicy"] == {"Name": "no"}
    assert host["AutoRemove"] is False
    assert [(mount["Target"], mount["ReadOnly"]) for mount in host["Mounts"]] == [
        ("/workspace", False),
        ("/run/reprise", False),
        ("/inputs/data", True),
    ]
    assert not any(pair.startswith("CUDA_VISIBLE_DEVICES") for pair in config["Env"])
    assert "NVIDIA_VISIBLE_DEVICES=void" in config["Env"]


@pytest.mark.parametrize("ipv6", [True, False])
def test_names_that_processes_of_a_job_find_each_other_by(ipv6: bool) -> None:
    """A kernel without IPv6 has no such setting, and an engine refuses to start a container with it."""
    info = DOCKER.model_copy(update={"ipv6": ipv6})
    for network in ("none", "bridge"):
        config = container_config(plan(info, network=network))
        assert not config.get("NetworkDisabled")  # such a container has no /etc/hosts
        assert config["Hostname"] == "reprise"
        host = config["HostConfig"]
        assert host.get("Sysctls") == ({"net.ipv6.conf.lo.disable_ipv6": "0"} if ipv6 else None)
        own = ["reprise:127.0.0.1", *(["reprise:::1"] if ipv6 else [])]
        assert host.get("ExtraHosts") == (own if network == "none" else None)
        assert host.get("Dns") == (["127.0.0.1"] if network == "none" else None)


def test_memory_is_nine_tenths_of_the_box_unless_said() -> None:
    assert plan().memory == int((10 << 30) * 0.9)
    with pytest.raises(UsageError, match=r"resources\.memory"):
        plan(memory=11 << 30)
    with pytest.raises(UsageError, match=r"resources\.cpus"):
        plan(cpus=3)


def test_gpus_are_given_as_the_engine_offers_them() -> None:
    nvidia = DOCKER.model_copy(update={"runtimes": ("nvidia", "runc"), "cdi": True})
    cdi = DOCKER.model_copy(update={"cdi": True})
    assert plan(nvidia, (H100,)).gpu_access is GpuAccess.NVIDIA
    others = nvidia.model_copy(update={"cdi_devices": ("nvidia.com/gpu=0", "nvidia.com/gpu=GPU-2")})
    assert plan(others, (H100,)).gpu_access is GpuAccess.NVIDIA, "a CDI file names other GPUs"
    found = nvidia.model_copy(update={"cdi_devices": ("nvidia.com/gpu=GPU-1", "nvidia.com/gpu=GPU-2")})
    assert plan(found, (H100,)).gpu_access is GpuAccess.CDI
    hidden = "NVIDIA_VISIBLE_DEVICES=void"  # where nvidia is the default runtime it is asked, too
    assert hidden not in container_config(plan(nvidia, (H100,)))["Env"]
    assert hidden in container_config(plan(found, (H100,)))["Env"]
    request = container_config(plan(cdi, (H100,)))["HostConfig"]["DeviceRequests"]
    assert request == [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=GPU-1"]}]
    for engine in (DOCKER, nvidia.model_copy(update={"podman": True})):
        with pytest.raises(UsageError, match="GPU"):
            plan(engine, (H100,))


def test_gpus_are_chosen_by_model_and_number() -> None:
    assert choose_gpus(Resources(gpus=1, gpu="h100"), [H100]) == (H100,)
    assert choose_gpus(Resources(), [H100]) == ()
    for resources in (Resources(gpus=2), Resources(gpus=1, gpu="A100")):
        with pytest.raises(UsageError, match="NVIDIA H100"):
            choose_gpus(resources, [H100])
    with pytest.raises(UsageError, match="none"):
        choose_gpus(Resources(gpus=1), [])


@pytest.mark.parametrize(
    ("ended", "state", "failure"),
    [
        (Ended(container=container_state()), State.SUCCEEDED, None),
        (Ended(container=container_state(exit_code=3)), State.FAILED, Failure.JOB),
        (Ended(container=container_state(oom_killed=True)), State.FAILED, Failure.MEMORY),
        (Ended(container=container_state(exit_code=137, oom_killed=True)), State.FAILED, Failure.MEMORY),
        (Ended(container=container_state(error="no such file")), State.FAILED, Failure.INFRASTRUCTURE),
        (Ended(container=container_state(), cause=State.CANCELLED), State.CANCELLED, None),
        (
            Ended(container=container_state(exit_code=143), cause=Failure.TIMEOUT),
            State.FAILED,
            Failure.TIMEOUT,
        ),
        (Ended(container=container_state(), cause=Failure.POLICY), State.FAILED, Failure.POLICY),
        (Ended(container=None), State.LOST, None),
        (Ended(container=container_state(status="running", exit_code=None)), State.LOST, None),
        (Ended(container=container_state(), engine_lost=True), State.LOST, None),
        (Ended(container=container_state(), killed=True), State.LOST, None),
        (Ended(container=container_state(exit_code=143), killed=True), State.LOST, None),
    ],
)
def test_what_is_ambiguous_is_lost(ended: Ended, state: State, failure: Failure | None) -> None:
    found, kind, message = judge(ended, DOCKER)
    assert (found, kind) == (state, failure)
    assert (message == "") == (state is State.SUCCEEDED) or state in (State.CANCELLED, State.FAILED)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (2, "2"),
        (128, "128"),
        (139, "139: as after SIGSEGV"),
        (141, "141: as after SIGPIPE, a program wrote into a pipe whose reader had ended (`| head`)"),
        (255, "255"),
    ],
)
def test_an_exit_code_that_says_a_signal_is_put_into_words(code: int, said: str) -> None:
    message = judge(Ended(container=container_state(exit_code=code)), DOCKER)[2]
    assert message == f"the command ended with exit code {said}"


def test_a_kill_that_may_be_for_memory_is_said_to_be_that_on_cgroup_v2() -> None:
    """Engine 26.1.5 reported no kill for memory, and the kernel's log had it."""
    ended = Ended(container=container_state(exit_code=137))
    for version, named in (("1", False), ("2", True)):
        found = judge(ended, DOCKER.model_copy(update={"cgroup": version}))
        assert found[:2] == (State.FAILED, Failure.JOB)
        assert ("memory" in found[2]) is named


@pytest.mark.parametrize(
    ("killed", "outcome", "noted"),
    [(False, State.SUCCEEDED, False), (None, State.SUCCEEDED, True), (True, State.FAILED, False)],
)
def test_on_cgroup_v2_an_engine_s_silence_on_memory_is_not_taken_alone(
    killed: bool | None, outcome: State, noted: bool
) -> None:
    ended = Ended(container=container_state(), memory_killed=killed)
    version2 = DOCKER.model_copy(update={"cgroup": "2"})
    state, failure, _ = judge(ended, version2)
    assert (state, failure) == (outcome, Failure.MEMORY if killed else None)
    assert bool(unsure(ended, version2, state)) is noted
    assert not unsure(ended, DOCKER, state), "on v1 the engine is told by the kernel"


def test_an_exit_by_sigkill_is_not_laid_to_memory_where_the_kernel_killed_nobody() -> None:
    ended = Ended(container=container_state(exit_code=137), memory_killed=False)
    assert "memory" not in judge(ended, DOCKER.model_copy(update={"cgroup": "2"}))[2]


def test_an_engine_with_live_restore_is_believed_after_its_restart() -> None:
    info = DOCKER.model_copy(update={"live_restore": True})
    assert judge(Ended(container=container_state(), engine_lost=True), info)[0] is State.SUCCEEDED
