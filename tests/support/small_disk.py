"""File systems that a test fills, and that it makes refuse to be written to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """The folder, made and a file system of its own of so many bytes. The test is marked `server`."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Leave no room for one byte more."""
    with (disk / "filling").open("wb", buffering=0) as out:
        try:
            while out.write(bytes(1 << 16)):
                pass
        except OSError:
            return


def let_nobody_write(disk: Path) -> None:
    mount("-o", "remount,ro", str(disk))
