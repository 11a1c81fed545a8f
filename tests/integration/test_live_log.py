"""The live log of a run on another box, through the record."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.box import write_job
from support.team import Team

from orchestrator.launch.session import Session
from orchestrator.settings import load

pytestmark = pytest.mark.engine


def test_it_goes_on_after_a_takeover_and_says_nothing_twice(team: Team, tmp_path: Path) -> None:
    script = "import time\nfor n in range(60):\n    print('n', n, flush=True)\n    time.sleep(0.5)"
    spec = write_job(tmp_path / "job", script)
    team.worker(team.alpha)
    run = team.person.queue(spec)
    follower = team.person.start("logs", "-f", run)
    assert follower.stdout is not None
    heard: list[str] = []
    while not heard or heard[-1] != "n 5":
        heard.append(follower.stdout.readline().rstrip())
    with Session(load(team.person.environ)) as session:
        at_it = session.record.open_run(run).executor or ""
    os.kill(int(at_it.removeprefix("pid ")), signal.SIGKILL)
    # Before the end: that is told once the run is final, and every line is there then in any case.
    late: list[tuple[str, bool]] = []
    while line := follower.stdout.readline():
        heard.append(line.rstrip())
        if len(heard) in (30, 50):
            late.append((heard[-1], team.person.json("show", run)["state"] == "running"))
    assert heard == [f"n {n}" for n in range(60)]
    assert any(live for _, live in late), late
    follower.communicate(timeout=180)
    assert team.person.json("show", run)["attempt"] == 1
    assert "broke off" not in (team.alpha.settings.home / "worker.log").read_text()
