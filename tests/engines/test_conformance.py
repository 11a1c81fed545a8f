"""What every engine is held to, on each in turn (conftest.py): `make engines`.

The tests of a box with its engine are taken as they are; here is only what compares engines, or what no test
of one engine asks.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.test_bundles import *  # noqa: F403
from integration.test_contents import *  # noqa: F403
from integration.test_crashes import *  # noqa: F403
from integration.test_hostile import *  # noqa: F403
from integration.test_localise import *  # noqa: F403
from integration.test_logs import *  # noqa: F403
from integration.test_spine import *  # noqa: F403
from integration.test_system_calls import (  # noqa: F401
    engine,
    plan,
    test_a_container_of_another_plan_is_not_started,
    test_a_created_container_is_its_plans,
    test_what_opens_the_host_is_seen,
)
from support.box import Box, make_box, write_job

from orchestrator.settings import Settings

pytestmark = pytest.mark.engine

OWN_HOST = os.environ.get("DOCKER_HOST", "")  # from before another engine was put in its place
TRAIN = """
import torch
torch.manual_seed(1)
model = torch.nn.Linear(64, 64)
torch.save(model(torch.randn(8, 64)).detach(), 'out.pt')
open('text.txt', 'w').write('the same everywhere')
"""


@pytest.fixture(autouse=True)
def on_this_engine(engine_name: str) -> str:
    return engine_name


@pytest.fixture
def own_box(tmp_path: Path, shared_base: Settings) -> Box:
    """A box with this machine's own engine."""
    return make_box(tmp_path / "own", shared_base, DOCKER_HOST=OWN_HOST)


def test_images_and_outputs_are_those_of_this_machines_own_engine(
    box: Box, own_box: Box, tmp_path: Path
) -> None:
    spec = str(write_job(tmp_path / "job", TRAIN))
    here, there = own_box.json("submit", spec), box.json("submit", spec)
    for name in ("image", "config_digest", "base"):
        assert there[name] == here[name], name
    assert [(one["path"], one["digest"]) for one in there["outputs"]] == [
        (one["path"], one["digest"]) for one in here["outputs"]
    ]
    tag = f"reprise:{there['image'].removeprefix('sha256:')}"
    (seen,) = json.loads(subprocess.run(["docker", "inspect", tag], check=True, capture_output=True).stdout)
    assert seen["Id"] in (there["config_digest"], there["image"])


def test_the_audit_finds_nothing(box: Box, tmp_path: Path) -> None:
    """It exports the image from the engine, and computes its layers once more."""
    run = box.json("submit", str(write_job(tmp_path / "job", "open('x.txt', 'w').write('x')")))
    box.json("rerun", run["id"])
    assert box.json("audit")["findings"] == []


def test_the_doctor_finds_nothing_wrong(box: Box, tmp_path: Path) -> None:
    box.json("submit", str(write_job(tmp_path / "job", "pass")))  # an image to try with
    checks = {one["name"]: one for one in box.json("doctor")["checks"]}
    assert checks["engine"]["ok"], checks["engine"]
    assert checks["jobs"]["ok"], checks["jobs"]


@pytest.fixture
def unseen(shared_base: Settings, engine_name: str) -> Iterator[Box]:
    """A box whose home the engine does not see."""
    if engine_name == "own":
        pytest.skip("this machine's own engine sees all of its files")
    folder = Path(f"/var/tmp/reprise-unseen-{os.getpid()}")
    try:
        yield make_box(folder / "home", shared_base)
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_an_engine_that_does_not_see_this_boxs_files_is_told_in_one_message(
    unseen: Box, tmp_path: Path
) -> None:
    failed = unseen.type("submit", str(write_job(tmp_path / "job", "pass")))
    assert failed.code == 5
    assert "DOCKER_HOST" in failed.err
    assert "Traceback" not in failed.err
    (line,) = unseen.json("history")["runs"]
    assert (line["state"], unseen.json("show", line["id"])["failure"]) == ("failed", "infrastructure")
    checks = {one["name"]: one for one in unseen.json("doctor", code=5)["checks"]}
    assert checks["jobs"]["ok"] is False
    assert "DOCKER_HOST" in checks["jobs"]["hint"]


def test_a_file_alone_is_an_input(box: Box, tmp_path: Path) -> None:
    """Podman 5.8.6 does not say what lies where a file is mounted."""
    (tmp_path / "one.txt").write_text("one")
    script = "open('out.txt', 'w').write(open('/inputs/one').read())"
    first = box.json("submit", str(write_job(tmp_path / "job", script, "inputs: {one: ../one.txt}")))
    assert box.json("rerun", first["id"])["verdict"]["outcome"] == "identical"
