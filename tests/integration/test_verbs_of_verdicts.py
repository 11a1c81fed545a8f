"""submit --twice, rerun --replay, predict, compare and verify, as typed, on the real engine."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, write_job

pytestmark = pytest.mark.engine

UNTRACED = "determinism: {trace: {tensors: off}}"
SAME = "open('w.txt', 'w').write('same')"
RANDOM = "import os; open('w.txt', 'wb').write(os.urandom(8))"
SEES_SHM = "import os; open('w.txt', 'w').write(str(os.statvfs('/dev/shm').f_blocks))"
SLOW = """
import time
print('up', flush=True)
time.sleep(3)
open('w.txt', 'w').write(str(time.time()))
"""


def job(tmp_path: Path, script: str) -> str:
    return str(write_job(tmp_path / "job", script, UNTRACED))


def runs_of(box: Box) -> list[dict[str, Any]]:
    """Oldest first."""
    return list(reversed(box.json("history")["runs"]))


def interrupt_at(process: subprocess.Popen[str], times: int) -> tuple[int, str]:
    """Ctrl-C when the job has said `up` so often; the exit code and what was printed on standard error."""
    assert process.stdout is not None
    seen = 0
    while seen < times:
        line = process.stdout.readline()
        assert line, "the command ended before the job was up"
        seen += line == "up\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    return process.returncode, err


def test_twice_is_a_run_a_rerun_and_a_verdict(box: Box, tmp_path: Path) -> None:
    spec = job(tmp_path, SAME)
    found = box.json("submit", spec, "--twice")
    assert found.keys() == {"run", "rerun", "verdict", "explanation"}
    assert found["verdict"]["outcome"] == "identical"
    assert found["rerun"]["rerun_of"] == found["run"]["id"]
    assert found["rerun"]["image"] == found["run"]["image"]
    assert [run["verdict"] for run in runs_of(box)] == [None, "identical"]
    again = box.type("submit", spec, "--twice")
    assert again.code == 0
    assert "IDENTICAL" in again.out
    assert again.out.count("\nstate ") == 2
    # Four runs of one digest: each pair can be compared, and every verdict is borne out by its evidence.
    ids = [run["id"] for run in runs_of(box)]
    assert box.json("compare", ids[0], ids[2])["verdict"]["outcome"] == "identical"
    assert box.json("audit", "--only", "verdicts")["findings"] == []


def test_twice_catches_a_script_that_differs_from_itself(box: Box, tmp_path: Path) -> None:
    outcome = box.type("submit", job(tmp_path, RANDOM), "--twice", "-q")
    assert (outcome.code, outcome.out) == (3, "different\n")


def test_twice_does_not_repeat_a_failure(box: Box, tmp_path: Path) -> None:
    spec = job(tmp_path, "raise SystemExit(7)")
    found = box.json("submit", spec, "--twice", code=1)
    assert (found["run"]["state"], found["rerun"], found["verdict"]) == ("failed", None, None)
    assert len(runs_of(box)) == 1
    assert box.type("submit", spec, "--twice", "-q").out == "failed\n"


@pytest.mark.parametrize(
    ("times", "states"),
    [
        pytest.param(1, ["cancelled"], id="first", marks=pytest.mark.acceptance),
        pytest.param(2, ["succeeded", "cancelled"], id="second"),
    ],
)
def test_ctrl_c_in_either_of_the_two_is_a_cancelled_run(
    box: Box, tmp_path: Path, times: int, states: list[str]
) -> None:
    code, err = interrupt_at(box.start("submit", job(tmp_path, SLOW), "--twice"), times)
    assert code == 130, err
    assert "Traceback" not in err
    assert [run["state"] for run in runs_of(box)] == states
    assert list(box.settings.attempts.iterdir()) == [], "an attempt's folder is left"


def test_replay_tells_a_nondeterministic_script(box: Box, tmp_path: Path) -> None:
    run = box.json("submit", job(tmp_path, RANDOM))
    found = box.json("rerun", run["id"], "--replay", code=3)
    replay, second = found["replay"], found["replay"]["second"]
    assert replay["source"] == "script"
    assert "the script itself is nondeterministic" in replay["summary"]
    rows = box.json("show", second["run"]["id"])["verdicts"]
    assert [(row["run"], row["original"], row["outcome"]) for row in rows] == [
        (second["run"]["id"], found["run"]["id"], "different"),
        (second["run"]["id"], run["id"], "different"),
    ]
    assert box.json("show", found["run"]["id"])["verdicts"][0]["original"] == run["id"]
    assert len(runs_of(box)) == 3
    said = box.type("rerun", run["id"], "--replay")
    assert "\nREPLAY\n" in said.out
    assert "different beside the original, different beside the rerun" in said.out


def test_replay_of_an_identical_rerun_needs_no_second_run(box: Box, tmp_path: Path) -> None:
    run = box.json("submit", job(tmp_path, SAME))
    found = box.json("rerun", run["image"], "--replay")
    assert (found["replay"]["source"], found["replay"]["second"]) == ("nothing", None)
    assert "no second run was needed" in found["replay"]["summary"]
    assert len(runs_of(box)) == 2
    assert box.type("rerun", run["id"], "--replay", "-q").out == "identical nothing\n"


def test_replay_tells_what_lies_between_two_boxes(box: Box, tmp_path: Path) -> None:
    """The second half: the record is made to say that the original was made on another maker's CPU."""
    run = box.json("submit", job(tmp_path, SEES_SHM))
    found = box.json("rerun", run["id"], "--shm", "32MiB", "--replay", code=3)["replay"]
    assert found["source"] == "unrecorded"
    assert found["fields"] == {}
    assert found["soft"]["resources.shm"] == [1 << 30, 32 << 20]
    assert found["second"]["against_rerun"]["outcome"] == "identical"

    bits = run["fingerprint"]["bit_class"] | {"cpu_vendor": "Acme"}
    with sqlite3.connect(box.settings.home / "reprise.db") as db:
        where = "run_id = (select id from run where public_id = ?)"
        db.execute(f"update attempt set box = 'elsewhere' where {where}", (run["id"],))
        db.execute(f"update fingerprint set bit_class = ? where {where}", (json.dumps(bits), run["id"]))
    db.close()
    vendor = run["fingerprint"]["bit_class"]["cpu_vendor"]
    predicted = box.json("rerun", "--predict", run["id"], code=4)
    assert predicted["fields"] == {"cpu_vendor": ["Acme", vendor]}
    outcome = box.type("rerun", run["id"], "--shm", "32MiB", "--replay")
    assert outcome.code == 3
    assert "the difference is between the boxes (cpu_vendor (Acme vs" in outcome.out


@pytest.mark.acceptance  # as Ctrl-C in the second of two runs
def test_ctrl_c_in_the_replay_is_130_and_both_runs_are_recorded(box: Box, tmp_path: Path) -> None:
    run = box.json("submit", job(tmp_path, SLOW))
    code, err = interrupt_at(box.start("rerun", run["id"], "--replay"), 2)
    assert code == 130, err
    assert [line["state"] for line in runs_of(box)] == ["succeeded", "succeeded", "cancelled"]
    assert [line["verdict"] for line in runs_of(box)] == [None, "different", None]


def test_predict_needs_no_engine_and_starts_nothing(box: Box, tmp_path: Path) -> None:
    run = box.json("submit", job(tmp_path, SAME))
    for words in (("rerun", run["image"], "--predict"), ("rerun", run["id"], "--predict")):
        outcome = box.type(*words, "--json", DOCKER_HOST="unix:///nowhere/docker.sock")
        assert outcome.code == 0, outcome.err
        assert (outcome.json["expected"], outcome.json["same_box"]) == ("bitwise", True)
    assert len(runs_of(box)) == 1
