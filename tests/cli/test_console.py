"""Tables and fields: plain for pipes, drawn for terminals, clean everywhere."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest

from orchestrator.cli.terminal import console
from orchestrator.view.forms.page import Fields, Table

LONG = "sha256:" + "ab" * 32
SCRIPT = (
    "from orchestrator.cli.terminal.console import show\n"
    "from orchestrator.view.forms.page import Fields, Table, Text, Tone\n"
    f"rows = [('[red]x[/red]', 'failed (job)', {LONG!r})]\n"
    "show([Table(('run', 'state', 'digest'), rows, right=('state',))])\n"
    "show([Fields([('state', 'succeeded'), ('none', '')]), Text('warning', Tone.ODD)])\n"
)


def test_plain_table(capsys: pytest.CaptureFixture[str]) -> None:
    console.show([Table(("name", "size"), [("a\x1b[31m\nb\u202e", "7"), (LONG, "1024")], right=("size",))])
    assert capsys.readouterr().out.splitlines() == [
        "NAME" + " " * 67 + "  SIZE",
        "a b" + " " * 68 + "     7",
        LONG + "  1024",
    ]


def test_plain_fields_leave_out_what_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    console.show([Fields([("run", "ab"), ("rerun of", ""), ("state", "failed (job) x\ty")])])
    assert capsys.readouterr().out == "run    ab\nstate  failed (job) x y\n"


def in_terminal(environ: dict[str, str], script: str = SCRIPT) -> str:
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", script], stdout=follower, env=os.environ | environ)
    os.close(follower)
    seen = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(leader)
    assert process.wait(timeout=120) == 0
    return seen.decode()


def test_a_terminal_gets_colours_and_nothing_is_cut_off() -> None:
    seen = in_terminal({"TERM": "xterm-256color", "COLUMNS": "60", "NO_COLOR": ""})
    assert "\x1b[" in seen
    assert "…" not in seen
    assert "[red]x[/red]" in seen
    assert LONG in "".join(seen.split())


@pytest.mark.parametrize("columns", ["30", "60", "80", "200"])
def test_ids_stay_whole_in_any_terminal(columns: str) -> None:
    rows = [["0123456789abcdef", "succeeded", "a=1 " * 12, "b=2 " * 12]] * 2
    columns_of = ["run", "state", "params", "metrics"]
    script = (
        "from orchestrator.cli.terminal.console import show\nfrom orchestrator.view.forms.page import Table\n"
        f"show([Table({columns_of}, {rows})])"
    )
    seen = in_terminal({"TERM": "xterm", "COLUMNS": columns, "NO_COLOR": "1"}, script)
    assert seen.count("0123456789abcdef") == 2
    assert seen.count("succeeded") == 2
    assert seen.count("a=1") == seen.count("b=2") == 24


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "200"}])
def test_colours_can_be_switched_off(environ: dict[str, str]) -> None:
    seen = in_terminal(environ)
    assert "\x1b[3" not in seen
    assert LONG in seen


def test_silence_takes_streams_that_are_no_files() -> None:
    console.silence(io.StringIO())
