"""A kill for memory is told from this machine's own kernel where the engine says nothing of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.bare_container import bare_plan

from orchestrator.launch.watch import Silent
from orchestrator.run.engine.engine import Engine
from orchestrator.run.follow import follow
from orchestrator.run.memory_kills import MemoryKills
from orchestrator.settings import Settings

pytestmark = pytest.mark.engine
SCRIPT = """
import subprocess, sys
print(subprocess.run([sys.executable, "-c", "x = bytearray(200 << 20)"]).returncode)
"""


@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK), reason="the kernel's log is closed here")
def test_the_kernel_s_log_names_a_job_whose_child_was_killed(
    box: Any, shared_base: Settings, tmp_path: Path
) -> None:
    engine, kills = Engine.connect(), MemoryKills(tmp_path / "saved")
    try:
        with bare_plan(engine, box.settings, shared_base, SCRIPT, memory=64 << 20) as plan:
            engine.create(plan)
            ended = follow(engine, plan, Silent(), should_cancel=lambda: False, kills=kills)
    finally:
        engine.close()
    assert ended.container is not None and ended.container.exit_code == 0
    assert ended.memory_killed is True
    assert kills.happened_in("0" * 64) is None, "another container's is not taken for it"
