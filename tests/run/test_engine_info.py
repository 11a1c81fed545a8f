"""What an engine cannot hold is refused in words, by its own answers, as they were seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import APIError
from run.test_plan import plan

from orchestrator.errors import EngineError
from orchestrator.run.attempt_model import LogDriver
from orchestrator.run.engine.check_container import container_differences
from orchestrator.run.engine.container_config import container_config
from orchestrator.run.engine.engine_errors import guard, is_name_taken
from orchestrator.run.engine.engine_info import EngineInfo, read_info

LIMITS = {"MemoryLimit": True, "SwapLimit": True, "PidsLimit": True, "CpuCfsQuota": True}
DOCKER = {"ServerVersion": "28.5.2", "Plugins": {"Log": ["json-file", "local", "syslog"]}, **LIMITS}
PODMAN = {
    "ServerVersion": "5.8.6",
    "Plugins": {"Log": ["k8s-file", "none", "passthrough", "journald"]},
    "LiveRestoreEnabled": False,
    **LIMITS,
}
ROOTLESS = {
    **DOCKER,
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
    "CgroupDriver": "none",
    "MemoryLimit": False,
    "SwapLimit": False,
    "PidsLimit": False,
    "CpuCfsQuota": False,
}
PODMAN_VERSION = {"Components": [{"Name": "Podman Engine", "Version": "5.8.6"}]}


def said(info: dict[str, Any], *, podman: bool = False) -> EngineInfo:
    return read_info(info, PODMAN_VERSION if podman else {"Components": [{"Name": "Engine"}]})


def test_docker_and_podman_5_are_taken_each_with_a_log_driver_that_it_has() -> None:
    for info, driver in ((said(DOCKER), LogDriver.LOCAL), (said(PODMAN, podman=True), LogDriver.K8S_FILE)):
        info.refuse_unfit()
        assert info.log_driver is driver
        made = plan(info.model_copy(update={"memory": 1 << 34}))
        config = container_config(made)["HostConfig"]["LogConfig"]
        assert config["Type"] == driver.value
    assert config["Config"] == {"max-size": "1t"}, "its rotation forgets all earlier lines"


@pytest.mark.parametrize(
    ("info", "podman", "words"),
    [
        (ROOTLESS, False, ["resources.memory", "resources.processes", "resources.cpus", "without root"]),
        ({**DOCKER, "PidsLimit": False}, False, ["resources.processes", "its machine"]),
        ({**PODMAN, "ServerVersion": "4.3.1"}, True, ["Podman 4.3.1", "too old"]),
        ({**DOCKER, "Plugins": {"Log": ["syslog"]}}, False, ["no log driver", "syslog"]),
        ({**PODMAN, "Plugins": {"Log": ["none", "journald"]}}, True, ["no log driver", "journald"]),
    ],
)
def test_what_an_engine_does_not_hold_is_refused_at_planning(
    info: dict[str, Any], podman: bool, words: list[str]
) -> None:
    with pytest.raises(EngineError) as caught:
        plan(said(info, podman=podman))
    assert all(word in caught.value.message for word in words), caught.value.message
    assert caught.value.hint


def test_the_way_to_a_limit_on_swapping_is_that_of_the_engine_s_own_cgroup_version() -> None:
    """Engine 26.1.5 in the root of cgroup v2 said the first; in a cgroup below it, it holds the limit."""
    for version, words in (("2", "cgroup of its own"), ("1", "swapaccount=1")):
        info = said({**DOCKER, "CgroupVersion": version, "CgroupDriver": "cgroupfs", "SwapLimit": False})
        with pytest.raises(EngineError, match="against swapping") as caught:
            info.refuse_unfit()
        assert words in (caught.value.hint or "")


def answer(status: int, text: str) -> APIError:
    response = requests.Response()
    response.status_code = status
    return APIError("refused", response, explanation=text)


def test_a_taken_name_is_known_by_docker_s_status_and_by_podman_s_words() -> None:
    taken = 'creating container storage: the container name "run-a-1" is already in use by 94e0'
    assert is_name_taken(answer(409, "Conflict"))
    assert is_name_taken(answer(500, taken))
    assert not is_name_taken(answer(500, "no space left on device"))
    assert not is_name_taken(answer(400, taken))


@pytest.mark.parametrize(
    "text",
    [
        'invalid mount config for type "bind": bind source path does not exist: /home/x',
        "container create: statfs /home/x: no such file or directory",
    ],
)
def test_an_engine_that_does_not_see_this_box_s_files_is_said_to_be_that(text: str) -> None:
    with pytest.raises(EngineError, match="does not see the files") as caught, guard("creating"):
        raise answer(400, text)
    assert "REPRISE_HOME" in (caught.value.hint or "")


def as_podman_inspects(config: dict[str, Any]) -> dict[str, Any]:
    """What Podman 5.8 says of a container that was made of `config`."""
    host = dict(config["HostConfig"])
    dropped = (
        "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
    )
    host |= {
        "Binds": ["/w:/workspace:rprivate,bind"],
        "CapAdd": [],
        "CapDrop": dropped.split(),
        "LogConfig": {"Type": "json-file", "Config": None},
        "PidMode": "private",
        "UTSMode": "private",
        "Tmpfs": {place: f"{options},rprivate,tmpcopyup" for place, options in host["Tmpfs"].items()},
        "Ulimits": [one | {"Name": f"RLIMIT_{one['Name'].upper()}"} for one in host["Ulimits"]],
    }
    host.pop("Sysctls", None)
    mounts = [
        {"Type": "bind", "Source": one["Source"], "Destination": one["Target"], "RW": not one["ReadOnly"]}
        for one in host.pop("Mounts")
    ]
    health = {"Test": ["NONE"], "Interval": 30000000000, "Timeout": 30000000000, "Retries": 3}
    return {"Config": {**config, "Healthcheck": health}, "HostConfig": host, "Mounts": mounts}


CHANGES: dict[str, Any] = {
    "Memory": 0,
    "PidsLimit": 0,
    "CapDrop": ["CHOWN"],
    "CapAdd": ["SYS_ADMIN"],
    "NetworkMode": "host",
    "PidMode": "host",
    "ReadonlyRootfs": False,
    "Tmpfs": {"/tmp": "rw"},
    "Ulimits": [{"Name": "RLIMIT_NPROC", "Soft": 9, "Hard": 9}],
    "LogConfig": {"Type": "none"},
    "Privileged": True,
}


def test_a_container_of_podman_is_compared_with_its_plan_setting_by_setting(tmp_path: Path) -> None:
    wanted = plan(said({**PODMAN, "MemTotal": 1 << 34}, podman=True), memory=1 << 30)
    found = as_podman_inspects(container_config(wanted))
    assert container_differences(wanted, found, podman=True) == []
    of_containers_conf = {"Name": "RLIMIT_NPROC", "Soft": 9, "Hard": 9}
    limits = [of_containers_conf, *found["HostConfig"]["Ulimits"]]
    with_defaults = {**found, "HostConfig": found["HostConfig"] | {"Ulimits": limits}}
    assert container_differences(wanted, with_defaults, podman=True) == []
    for name, value in CHANGES.items():
        other = {**found, "HostConfig": found["HostConfig"] | {name: value}}
        assert container_differences(wanted, other, podman=True) == [name]
