"""The watch over a live job's folders: what hides from a walk by paths is counted too."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.run.workspace import MAX_DEPTH, measure

ANY = 1 << 62


def nested(folder: Path, name: str, levels: int) -> None:
    """A big sparse file below so many folders of one name, made as a job would: by walking in."""
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    file = os.open("big", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.truncate(file, 5 << 30)
    os.close(file)
    os.close(here)


def test_a_path_longer_than_the_system_takes_hides_nothing(tmp_path: Path) -> None:
    nested(tmp_path, "n" * 250, 20)
    assert measure([tmp_path], ANY, ANY).size == 5 << 30


def test_folders_beyond_the_depth_are_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    nested(tmp_path / "a", "d", MAX_DEPTH - 1)
    assert not measure([tmp_path], ANY, ANY).deep
    nested(tmp_path / "b", "d", MAX_DEPTH + 1)
    assert measure([tmp_path], ANY, ANY).deep


def test_both_folders_count_and_the_count_stops_at_the_limit(tmp_path: Path) -> None:
    for name in ("workspace", "report"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub/x").write_bytes(b"x" * 100)
    folders = [tmp_path / "workspace", tmp_path / "report"]
    assert (measure(folders, ANY, ANY).size, measure(folders, ANY, ANY).entries) == (200, 4)
    assert measure(folders, ANY, 2).entries == 3
    assert measure(folders, 99, ANY).size == 100


def test_links_and_what_is_gone_count_for_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host/x").write_bytes(b"x" * 10_000)
    work = tmp_path / "work"
    work.mkdir()
    (work / "link").symlink_to(tmp_path / "host")
    assert measure([work, tmp_path / "absent"], ANY, ANY).size < 10_000
