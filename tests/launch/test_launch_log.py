"""The file of a launched process's own words, in a store where others may write."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.launch.executors import launch_log

NAME = "7@lab.log"
PRINT = """
import sys
from pathlib import Path
from orchestrator.launch.executors import launch_log
launch_log.print_to(Path(sys.argv[1]), sys.argv[2])
print("why it did not come up", flush=True)
sys.exit("and more")
"""


def printed(store: Path, name: str = NAME) -> None:
    """A process goes on, whatever lies there."""
    done = subprocess.run([sys.executable, "-c", PRINT, str(store), name], capture_output=True, timeout=60)
    assert done.returncode == 1


@pytest.fixture
def store(tmp_path: Path) -> Path:
    made = tmp_path / "store"
    made.mkdir(mode=0o755)
    return made


def test_what_is_printed_is_read_again(store: Path) -> None:
    assert launch_log.read(store, NAME, 0) == b""
    printed(store)
    printed(store)
    said = b"why it did not come up\nand more\n"
    assert launch_log.read(store, NAME, 0) == 2 * said
    assert launch_log.read(store, NAME, len(said) + 4) == said[4:]


def a_link(place: Path, victim: Path) -> None:
    place.symlink_to(victim)


def a_link_to_nothing(place: Path, victim: Path) -> None:
    place.symlink_to(victim.with_name("new"))


def a_second_name(place: Path, victim: Path) -> None:
    os.link(victim, place)


def a_fifo(place: Path, victim: Path) -> None:
    del victim
    os.mkfifo(place)


def a_folder(place: Path, victim: Path) -> None:
    del victim
    place.mkdir()


@pytest.mark.parametrize("lays", [a_link, a_link_to_nothing, a_second_name, a_fifo, a_folder])
def test_nothing_else_is_written(store: Path, tmp_path: Path, lays: Callable[[Path, Path], None]) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (store / launch_log.FOLDER).mkdir()
    lays(store / launch_log.FOLDER / NAME, victim)
    printed(store)
    assert victim.read_bytes() == b"mine"
    assert not victim.with_name("new").exists()


def test_a_folder_that_leads_elsewhere_is_not_followed(store: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (store / launch_log.FOLDER).symlink_to(elsewhere)
    printed(store)
    printed(store, f"../../elsewhere/{NAME}")
    assert list(elsewhere.iterdir()) == []
    assert launch_log.own_folder(store) is None


@pytest.mark.parametrize(("mode", "own"), [(0o755, True), (0o700, True), (0o775, False), (0o1777, False)])
def test_slurms_daemon_writes_only_where_nobody_else_may(store: Path, mode: int, own: bool) -> None:
    store.chmod(mode)
    assert (launch_log.own_folder(store) is not None) is own
    if own:
        (store / launch_log.FOLDER).chmod(0o777)
        assert launch_log.own_folder(store) is None
