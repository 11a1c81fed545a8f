"""Folders and programs that a command needs for a while, and its SIGKILL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator import scratch
from orchestrator.scratch import scratch_folder

HOLDS = """
import subprocess, sys
from pathlib import Path
from orchestrator.scratch import end_with_parent, scratch_folder
with scratch_folder("work-", Path(sys.argv[1])) as folder:
    child = subprocess.Popen(["sleep", "600"], start_new_session=True, preexec_fn=end_with_parent)
    print(child.pid, flush=True)
    child.wait()
"""


def test_what_a_killed_command_left_is_removed_by_the_next_and_its_program_ends(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLDS, str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    (held,) = tmp_path.iterdir()
    (held / "inside").mkdir()
    with scratch_folder("work-", tmp_path):
        assert held.is_dir(), "its maker lives"
    process.kill()
    process.wait()
    process.stdout.close()
    until = time.monotonic() + 30
    while Path(f"/proc/{child}/cmdline").exists() and b"sleep" in Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < until
        time.sleep(0.02)
    assert held.is_dir()
    with scratch_folder("work-", tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_on_a_network_file_system_nobody_removes_what_another_machine_may_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work-theirs").mkdir()
    monkeypatch.setattr(scratch, "on_shared_system", lambda _: True)
    with scratch_folder("work-", tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["work-theirs"]


def test_only_folders_of_that_name_are_removed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    (tmp_path / "work-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "work-file").touch()
    for name in ("other", "work-old"):
        (tmp_path / name).mkdir()
    with scratch_folder("work-", tmp_path) as folder:
        left = {path.name for path in tmp_path.iterdir()} - {folder.name}
    assert left == {"elsewhere", "work-link", "work-file", "other"}
    assert (tmp_path / "elsewhere" / "file").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_user_s_folder_stays(tmp_path: Path) -> None:
    other = tmp_path / "work-other"
    other.mkdir()
    os.chown(other, 65534, 65534)
    with scratch_folder("work-", tmp_path):
        pass
    assert other.is_dir()


def test_it_goes_with_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), scratch_folder("work-", tmp_path):
        signal.raise_signal(signal.SIGINT)
    assert list(tmp_path.iterdir()) == []
