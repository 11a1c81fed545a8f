"""The filter of system calls is the engine's: an image that sets none is under it all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.bare_container import bare_plan

from orchestrator.errors import EngineError
from orchestrator.run.attempt_model import Plan
from orchestrator.run.engine.check_container import check_created, container_differences
from orchestrator.run.engine.engine import Engine
from orchestrator.settings import Settings

pytestmark = pytest.mark.engine
ALG_PROBE = Path(__file__).parent.parent / "support" / "syscall_probe.py"

# Families of sockets, and calls by number (x86-64) with their arguments; the error's number, 0 for none.
SCRIPT = """
import ctypes, json, os, socket
found = {}
for family, kind in ((1, 1), (2, 1), (10, 1), (16, 3), (17, 3), (30, 5), (38, 5), (40, 1)):
    try:
        socket.socket(family, kind).close()
        found[f"family {family}"] = 0
    except OSError as error:
        found[f"family {family}"] = error.errno
socket.socketpair()
library = ctypes.CDLL(None, use_errno=True)
CALLS = {"socket above 32 bits": (41, 38 | 1 << 32, 5, 0), "socketpair": (53, 38, 5, 0, 0),
         "io_uring_setup": (425, 1, 0), "unshare": (272, 0x10000000), "clone3": (435, 0, 0),
         "mount": (165, 0, 0, 0), "keyctl": (250, 0, 0), "perf_event_open": (298, 0, 0),
         "bpf": (321, 0, 0), "userfaultfd": (323, 0),
         "clone for a namespace": (56, 0x10000000 | 17, 0, 0, 0)}
for name, (number, *words) in CALLS.items():
    made = library.syscall(number, *map(ctypes.c_long, words))
    found[name] = 0 if made >= 0 else ctypes.get_errno()
    if made == 0 and "clone" in name:
        os._exit(0)
print(json.dumps(found))
"""


@pytest.fixture
def engine() -> Iterator[Engine]:
    found = Engine.connect()
    yield found
    found.close()


@pytest.fixture
def plan(engine: Engine, box: Any, shared_base: Settings) -> Iterator[Plan]:
    with bare_plan(engine, box.settings, shared_base, SCRIPT) as made:
        yield made


def test_no_image_can_leave_the_filter_out(engine: Engine, plan: Plan) -> None:
    engine.create(plan)
    engine.start(plan.container)
    assert engine.wait(plan.container, 60)
    found = json.loads(engine.api.logs(plan.container))
    allowed = [name for name, number in found.items() if number == 0]
    assert allowed == ["family 1", "family 2", "family 10", "family 16"]
    assert found.pop("clone3") == 38, "glibc takes another EPERM for the last word"
    assert {found[name] for name in found if name not in allowed} == {1}


def test_no_other_number_of_the_same_call_is_left_open(engine: Engine, plan: Plan) -> None:
    """Those of x32 and i386, under the engine's filter alone: refused, and nobody is killed for asking."""
    engine.create(plan.model_copy(update={"command": (ALG_PROBE.read_text(), "alone")}))
    engine.start(plan.container)
    assert engine.wait(plan.container, 60)
    found = json.loads(engine.api.logs(plan.container))
    assert {found[name] for name in ("inet", "unix", "unix pair")} == {0}
    assert {found[name] for name in ("alg", "alg pair", "ring", "alg, high bits", "alg of x32")} == {1}
    # -11: a kernel without the calls of i386 kills who makes one.
    assert found["unix of i386"] in (0, -11)
    assert {found["alg of i386"], found["alg pair of i386"]} <= {1, -11}
    assert {found["socketcall"], found["socketcall pair"]} <= {38, -11}, (
        "a pointer that was read: let through"
    )


def test_a_created_container_is_its_plans(engine: Engine, plan: Plan) -> None:
    engine.create(plan)
    found = engine.api.inspect_container(plan.container)
    assert container_differences(plan, found, podman=engine.podman) == []
    check_created(engine, plan, [found["Image"]])
    with pytest.raises(EngineError, match="its image"):
        check_created(engine, plan, ["sha256:" + "0" * 64])


OTHERS: dict[str, dict[str, Any]] = {
    "User": {"user": "0:0"},
    "NetworkMode": {"network": "bridge"},
    "Memory": {"memory": 1 << 31},
    "SecurityOpt": {"system_calls": False},
    "Cmd": {"command": ("true",)},
    "PidsLimit": {"processes": 7},
    "mount /workspace": {"mounts": ()},
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_container_of_another_plan_is_not_started(engine: Engine, plan: Plan, name: str) -> None:
    """Under the same name and labels, as an engine, or somebody with the engine, may have made it."""
    engine.create(plan.model_copy(update=OTHERS[name]))
    engine.create(plan)  # it is there already
    found = engine.api.inspect_container(plan.container)
    assert name in container_differences(plan, found, podman=engine.podman)
    with pytest.raises(EngineError, match="is not what its plan says"):
        check_created(engine, plan, [found["Image"]])


HOST = {
    "Privileged": True,
    "CapAdd": ["SYS_ADMIN"],
    "PidMode": "host",
    "Binds": ["/etc:/etc"],
    "Devices": [{}],
}


@pytest.mark.parametrize("name", HOST)
def test_what_opens_the_host_is_seen(engine: Engine, plan: Plan, name: str) -> None:
    engine.create(plan)
    found = engine.api.inspect_container(plan.container)
    found["HostConfig"][name] = HOST[name]
    assert container_differences(plan, found, podman=engine.podman) == [name]
    for item in ("Volumes", "OnBuild"):
        other = {**found, "Config": {**found["Config"], item: {"/x": {}}}}
        assert item in container_differences(plan, other, podman=engine.podman)
