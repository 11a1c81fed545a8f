from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from orchestrator.run.permissions import _SCRIPT, closed_to_us


def test_all_that_is_ones_own_is_opened_whatever_its_depth(tmp_path: Path) -> None:
    """As the job's user the script is no more than this: it needs no right but to be the owner."""
    host = tmp_path / "host"
    host.mkdir(mode=0o700)
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(host)
    (root / "secret").write_text("x")
    (root / "secret").chmod(0)
    (root / "read").write_text("x")
    os.mkfifo(root / "fifo", 0o600)
    before = os.stat(root / "read").st_ctime_ns
    here = os.open(root, os.O_RDONLY)
    for _ in range(3000):  # names add up to more than a path may have
        os.mkdir("d", 0o700, dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    subprocess.run([sys.executable, "-I", "-S", "-c", _SCRIPT, str(root)], check=True)
    assert stat.S_IMODE((root / "d/d/d").stat().st_mode) == 0o777
    assert (root / "secret").stat().st_mode & 0o004
    assert os.stat(root / "read").st_ctime_ns == before
    assert stat.S_IMODE(host.stat().st_mode) == 0o700
    assert stat.S_IMODE(os.lstat(root / "fifo").st_mode) == 0o600
    subprocess.run(["rm", "-rf", str(root)], check=True)


def test_root_is_closed_out_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").touch(0)
    assert not closed_to_us([tmp_path])
