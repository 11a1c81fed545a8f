"""A stamp tells each way in which an input can become another, without reading it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.spec.input_stamps import stamp_of


def written(path: Path) -> None:
    (path / "sub" / "a.csv").write_text("2")


def written_with_its_time_set_back(path: Path) -> None:
    file = path / "sub" / "a.csv"
    before = file.stat()
    file.write_text("2")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def one_more(path: Path) -> None:
    (path / "sub" / "b.csv").write_text("1")


def one_less(path: Path) -> None:
    (path / "sub" / "a.csv").unlink()


def swapped(path: Path) -> None:
    path.rename(path.with_name("aside"))
    shutil.copytree(path.with_name("aside"), path)


def swapped_and_back(path: Path) -> None:
    """A renamed folder has another time of change."""
    path.rename(path.with_name("aside"))
    path.mkdir()
    path.rmdir()
    path.with_name("aside").rename(path)


def led_elsewhere(path: Path) -> None:
    path.rename(path.with_name("aside"))
    path.symlink_to("aside")


def gone(path: Path) -> None:
    shutil.rmtree(path)


@pytest.mark.parametrize(
    "change",
    [
        written,
        written_with_its_time_set_back,
        one_more,
        one_less,
        swapped,
        swapped_and_back,
        led_elsewhere,
        gone,
    ],
)
def test_a_change_is_seen(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "data"
    (path / "sub").mkdir(parents=True)
    (path / "sub" / "a.csv").write_text("1")
    (path / "link").symlink_to("sub/a.csv")
    before = stamp_of(path)
    assert before == stamp_of(path) != ""
    (path / "sub" / "a.csv").read_text()
    assert stamp_of(path) == before
    change(path)
    assert stamp_of(path) != before
