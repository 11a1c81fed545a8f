from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.launch.home_permissions import close_home
from orchestrator.settings import Settings, load


def settings_of(home: Path, store: Path | None = None) -> Settings:
    return load({"REPRISE_HOME": str(home)} | ({"REPRISE_STORE": str(store)} if store else {}))


def mode(folder: Path) -> str:
    return f"{stat.S_IMODE(folder.stat().st_mode):o}"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_home_is_its_owners_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    home = tmp_path / "a/home"
    script = f"import os; os.umask({umask}); from orchestrator.cli.main import main; main()"
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", script, "history"],
            env=os.environ | {"REPRISE_HOME": str(home)},
            check=True,
            capture_output=True,
        )
        assert mode(home) == "700"
        for name in ("images", "attempts", "keys"):
            assert not (home / name).exists() or mode(home / name) == "700"


def test_one_that_was_open_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("images", "attempts", "store"):
        (home / name).mkdir(parents=True)
        (home / name).chmod(0o777)
    (home / "store").chmod(0o755)
    home.chmod(0o775)
    assert list(close_home(settings_of(home))) == []
    assert [mode(folder) for folder in (home, home / "images", home / "attempts")] == ["700"] * 3


def test_a_store_that_was_opened_for_a_team_can_be_reached(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "store").mkdir(parents=True)
    (home / "images").mkdir()
    (home / "store").chmod(0o1777)
    home.chmod(0o755)
    assert list(close_home(settings_of(home, home / "store"))) == []
    assert [mode(folder) for folder in (home, home / "images", home / "store")] == ["711", "700", "1777"]
    assert list(close_home(settings_of(home, home / "store"))) == []


def test_a_folder_that_holds_other_things_is_not_ours_to_close(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir(mode=0o755)
    (tmp_path / "thesis.tex").touch()
    tmp_path.chmod(0o755)
    (told,) = close_home(settings_of(tmp_path))
    assert "thesis.tex in it is not of Reprise" in told
    assert (mode(tmp_path), mode(tmp_path / "images")) == ("755", "700")
