"""What the terminal's watch prints, and where; and that no reader's absence disturbs the run."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.terminal import progress_bar
from orchestrator.cli.terminal.progress_bar import ProgressBar
from orchestrator.cli.terminal.run_progress import TerminalWatch, watching


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def capable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")


def test_log_and_progress_take_their_own_streams() -> None:
    logs, status = io.StringIO(), io.StringIO()
    watch = TerminalWatch(logs, status)
    watch.phase("image", "cpu")
    watch.log(b"epoch 1\nepo")
    watch.tick(3.0, 2048)
    watch.log(b"ch 2")
    watch.note("adopted\x1b[2J")
    watch.finish()
    assert logs.getvalue() == "epoch 1\nepoch 2\n"
    first, second = status.getvalue().splitlines()
    assert first.split() == [first.split()[0], "s", "image", "cpu"]
    assert second == "note: adopted"
    assert [name for name, _ in watch.phases] == ["image"]


def test_the_status_line_is_drawn_over_itself_and_taken_away() -> None:
    logs, status = io.StringIO(), Terminal()
    watch = TerminalWatch(logs, status)
    watch.log(b"\r 10%|#   |\r 50%|##  | \x1b[31m")
    watch.tick(75, 3 << 20)
    drawn = status.getvalue()
    assert drawn.startswith("\r\x1b[2Krunning 1:15  workspace 3.0 MiB  | 50")
    assert len(drawn.removeprefix("\r\x1b[2K")) <= 39
    assert drawn.count("\x1b") == 1
    watch.finish()
    assert status.getvalue() == drawn + "\r\x1b[2K"
    assert logs.getvalue() == " 50%|##  | \n"


def test_a_transfer_is_a_bar() -> None:
    status = Terminal()
    watch = TerminalWatch(io.StringIO(), status)
    watch.moved(0, 0)
    assert status.getvalue() == ""
    watch.moved(1 << 20, 4 << 20)
    drawn = status.getvalue().removeprefix("\r\x1b[2K")
    assert drawn == "[#####               ] 1.0 MiB of 4.0 MiB"[:39]
    watch.phase("load")
    assert "\x1b[2K" in status.getvalue()[len(drawn) :]


def test_a_bar_is_drawn_once_work_takes_longer_than_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    status = Terminal()
    monkeypatch.setattr("sys.stderr", status)
    with ProgressBar() as bar:
        bar.step("blobs")(1, 4)
        assert status.getvalue() == "", "a moment is not over yet"
        monkeypatch.setattr(progress_bar, "PATIENCE", -1.0)
        bar.step("blobs")(1, 4)
        assert status.getvalue() == "\r\x1b[2K[#####               ] blobs: 1 of 4"
        bar.step("blobs")(0, 0)
    assert status.getvalue().endswith("\r\x1b[2K")


def test_no_status_line_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    for status in (io.StringIO(), Terminal()):
        watch = TerminalWatch(io.StringIO(), status)
        watch.tick(1, 1)
        assert status.getvalue() == ""


def test_with_json_the_log_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(as_json=True, quiet=False) as watch:
        watch.log(b"text\n")
    assert capsys.readouterr() == ("", "text\n")
    with watching(as_json=False, quiet=False) as watch:
        watch.log(b"text\n")
    assert capsys.readouterr() == ("text\n", "")


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(as_json=False, quiet=True) as watch:
        watch.phase("run")
        watch.log(b"text\n")
        watch.note("x")
        watch.tick(1, 1)
    assert capsys.readouterr() == ("", "")


def test_what_was_logged_is_printed_even_if_the_work_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), watching(as_json=False, quiet=False) as watch:
        watch.log(b"last words")
        raise KeyError
    assert capsys.readouterr().out == "last words\n"


def test_a_reader_that_leaves_does_not_disturb_the_run(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom orchestrator.cli.terminal.run_progress import watching\n"
        "with watching(as_json=False, quiet=False) as watch:\n"
        "    for number in range(20000):\n        watch.log(b'line %d\\n' % number)\n"
        f"Path({str(tmp_path / 'done')!r}).write_text('all')\n"
    )
    shell = f"{sys.executable} {script} | head -n 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=os.environ, timeout=180)
    assert done.stdout == "line 0\n"
    assert done.stderr == ""
    assert (tmp_path / "done").read_text() == "all"
