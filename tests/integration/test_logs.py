"""Logs on a real engine: floods, long lines, a process that is killed while it listens."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.box import Box, write_job

from orchestrator.run.container_log import HEAD, TAIL

pytestmark = pytest.mark.engine

COUNT = 400_000
FLOOD = f"""
print("BEGIN of the log")
for number in range({COUNT}):
    print(f"line {{number:06}} ..........................................................")
print("END of the log")
"""
LONG = """
import sys
for length in (16383, 16384, 16385, 20000, 32768, 40000):
    print("x" * length); print("after", length)
sys.stdout.flush()
sys.stdout.buffer.write(b"no UTF-8: \\xff\\x00\\n\\rone\\rtwo\\nno end")
"""


def kept(box: Box, run: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "logs", run, "--raw"],
        env=box.environ,
        capture_output=True,
        check=True,
    )
    return done.stdout


def test_a_flood_is_shown_whole_and_kept_by_its_two_ends(box: Box, tmp_path: Path) -> None:
    """Past two files of the engine's own, whose rotation used to end the live log and to cost the head."""
    shown = box.type("submit", str(write_job(tmp_path / "job", FLOOD)))
    lines = shown.out.splitlines()
    begin = lines.index("BEGIN of the log")
    assert lines[begin + 1 : begin + 1 + COUNT] == [line for line in lines if line.startswith("line ")]
    assert [int(line[5:11]) for line in lines[begin + 1 : begin + 1 + COUNT]] == list(range(COUNT))
    assert lines[begin + 1 + COUNT] == "END of the log"
    (run,) = box.json("history")["runs"]
    whole = b"BEGIN of the log\n" + b"".join(
        b"line %06d ..........................................................\n" % number
        for number in range(COUNT)
    )
    whole += b"END of the log\n"
    left_out = len(whole) - HEAD - TAIL
    assert kept(box, run["id"]) == (
        whole[:HEAD] + b"\n[reprise: %d bytes were left out here]\n" % left_out + whole[-TAIL:]
    )
    assert box.json("show", run["id"])["log"]["truncated"]


def test_lines_of_any_length_and_any_bytes_are_kept_as_they_are(box: Box, tmp_path: Path) -> None:
    box.json("submit", str(write_job(tmp_path / "job", LONG)))
    (run,) = box.json("history")["runs"]
    lengths = (16383, 16384, 16385, 20000, 32768, 40000)
    wanted = b"".join(b"x" * length + b"\nafter %d\n" % length for length in lengths)
    assert kept(box, run["id"]) == wanted + b"no UTF-8: \xff\x00\n\rone\rtwo\nno end"
    assert not box.json("show", run["id"])["log"]["truncated"]


def test_who_takes_over_goes_on_where_the_listener_was_killed(box: Box, tmp_path: Path) -> None:
    script = (
        "import time\nfor n in range(80):\n    print('n', n, 'x' * 20000, flush=True)\n    time.sleep(0.1)"
    )
    process = box.start("submit", str(write_job(tmp_path / "job", script)))
    assert process.stdout is not None
    while "n 10 " not in process.stdout.readline():
        pass
    (run,) = box.json("history")["runs"]
    follower = box.start("logs", "-f", run["id"])
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 120
    while box.json("show", run["id"])["state"] != "succeeded":  # any verb has it finished
        assert time.monotonic() < deadline
        time.sleep(1)
    wanted = [f"n {n} {'x' * 20000}" for n in range(80)]
    assert kept(box, run["id"]).decode().splitlines() == wanted
    out, _ = follower.communicate(timeout=180)
    assert out.splitlines() == wanted
