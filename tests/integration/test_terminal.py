"""`reprise submit` as a person sees it: on a terminal, and without one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.box import WAITS, Box, let_go, write_job
from support.terminal import COLUMNS, CTRL_C, Terminal

pytestmark = pytest.mark.engine

SLOW = """
import time
print('one', flush=True)
time.sleep(2.5)
print('two')
open('out.txt', 'w').write('x')
"""
WATCHED = f"print('one', flush=True)\n{WAITS}\nprint('two')\nopen('out.txt', 'w').write('x')"
ERASE = "\r\x1b[2K"
CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|.)?")


def environ(box: Box) -> dict[str, str]:
    """A terminal that can show colours, whatever runs the tests."""
    left_out = {"NO_COLOR", "COLUMNS", "LINES"}
    return {name: value for name, value in box.environ.items() if name not in left_out} | {"TERM": "xterm"}


def submit(spec: Path) -> list[str]:
    return [sys.executable, "-m", "orchestrator.cli", "submit", str(spec)]


def lines_left(shown: bytes) -> list[str]:
    """What stands on the terminal in the end: of each line what was written since it was last erased."""
    lines = [line.rsplit(ERASE, 1)[-1] for line in shown.decode().replace("\r\n", "\n").split("\n")]
    return [CONTROL.sub("", line) for line in lines]


def status_lines(shown: bytes) -> list[str]:
    parts = (part.split("\r")[0] for part in shown.decode(errors="replace").split(ERASE)[1:])
    return [part for part in parts if re.match(r"running \d+:\d\d  workspace ", part)]


def watch_and_let_go(terminal: Terminal, box: Box) -> None:
    """The job waits until its clock was seen to go on."""
    terminal.wait(lambda: len(set(status_lines(terminal.shown))) > 1)
    (line,) = box.json("history")["runs"]
    let_go(box, line["id"])


def check_clean(shown: bytes) -> None:
    """Lines are erased and coloured and nothing else: no cursor is hidden, moved up, or left in a colour."""
    used = set(CONTROL.findall(shown.decode()))
    assert all(code == "\x1b[2K" or re.fullmatch(r"\x1b\[[0-9;]*m", code) for code in used), used
    colours = [code for code in CONTROL.findall(shown.decode()) if code.endswith("m")]
    assert not colours or colours[-1] == "\x1b[0m"
    assert not shown.rsplit(b"\n", 1)[-1], "the prompt would stand beside what is left of a line"


def test_phases_stay_and_the_status_line_is_drawn_and_taken_away(box: Box, tmp_path: Path) -> None:
    with Terminal(submit(write_job(tmp_path / "job", WATCHED)), environ(box)) as terminal:
        before = terminal.modes()
        watch_and_let_go(terminal, box)
        assert terminal.finish() == 0
        assert terminal.modes() == before
    drawn = [part for part in terminal.shown.decode().split(ERASE)[1:] if part.startswith("running ")]
    assert max(len(part.split("\r")[0]) for part in drawn) < COLUMNS
    check_clean(terminal.shown)
    left = lines_left(terminal.shown)
    words = [line.split()[2] for line in left if re.match(r" +\d+\.\d\d s  ", line)]
    assert words == ["source", "image", "load", "create", "run", "collect"]
    assert left.index("one") < left.index("two")
    assert not [line for line in left if "running" in line]
    assert "state      succeeded" in left


def test_ctrl_c_typed_while_the_job_runs_cancels_it_cleanly(box: Box, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", "import time; print('up', flush=True); time.sleep(60)")
    with Terminal(submit(spec), environ(box)) as terminal:
        before = terminal.modes()
        terminal.wait_for(b"running 0:")
        terminal.type(CTRL_C)
        assert terminal.finish() == 130
        assert terminal.modes() == before
    check_clean(terminal.shown)
    left = lines_left(terminal.shown)
    assert any(line.startswith("state      cancelled") for line in left)
    assert not [line for line in left if line.startswith("running")]
    assert b"Traceback" not in terminal.shown
    (line,) = box.json("history")["runs"]
    assert line["state"] == "cancelled"
    listed = ["docker", "ps", "--all", "--quiet", "--filter", f"label=reprise.run={line['id']}"]
    assert subprocess.run(listed, capture_output=True, text=True, check=True).stdout == ""


def test_without_a_terminal_nothing_is_drawn(box: Box, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", SLOW)
    done = subprocess.run(
        submit(spec), env=environ(box), stdin=subprocess.DEVNULL, capture_output=True, timeout=120
    )
    assert done.returncode == 0
    assert re.search(rb"^ +\d+\.\d\d s  run$", done.stderr, re.MULTILINE)
    for stream in (done.stdout, done.stderr):
        assert b"\x1b" not in stream
        assert b"\r" not in stream
        assert b"running" not in stream


def test_a_terminal_for_progress_alone_keeps_a_piped_log_plain(box: Box, tmp_path: Path) -> None:
    """`reprise submit … > file`: the status line is on the terminal, the file is text."""
    spec = write_job(tmp_path / "job", WATCHED)
    file = tmp_path / "file"
    command = ["/bin/sh", "-c", f'exec "$@" > {file}', "sh", *submit(spec)]
    with Terminal(command, environ(box)) as terminal:
        watch_and_let_go(terminal, box)
        assert terminal.finish() == 0
    assert b"two" not in terminal.shown
    assert file.read_bytes().startswith(b"one\nup\ntwo\n")
    assert b"\x1b" not in file.read_bytes()
    assert lines_left(terminal.shown)[-1] == ""
