"""A Docker Engine without root's rights on cgroup v1 holds no limit: it is refused in words."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import Box, make_box, write_job

from orchestrator.settings import Settings

pytestmark = pytest.mark.engine

SCRIPT = Path(__file__).parent / "engine.sh"
NAME = "docker-28.5-rootless"


@pytest.fixture
def rootless(tmp_path: Path, shared_base: Settings) -> Iterator[Box]:
    up = subprocess.run([SCRIPT, "up", NAME], capture_output=True, text=True, check=False)
    assert up.returncode == 0, up.stderr
    yield make_box(tmp_path / "home", shared_base, DOCKER_HOST=up.stdout.strip())
    subprocess.run([SCRIPT, "down", NAME], check=True, capture_output=True)


def test_an_engine_that_holds_no_limit_is_refused_before_anything_is_made(
    rootless: Box, tmp_path: Path
) -> None:
    refused = rootless.type("submit", str(write_job(tmp_path / "job", "pass")))
    assert refused.code == 5
    for word in ("resources.memory", "resources.processes", "cgroup v1", "DOCKER_HOST"):
        assert word in refused.err, refused.err
    assert "Traceback" not in refused.err
    assert rootless.json("history")["runs"] == []
    checks = {one["name"]: one for one in rootless.json("doctor", code=5)["checks"]}
    assert checks["engine"]["ok"] is False
    assert "resources.processes" in checks["engine"]["detail"]
