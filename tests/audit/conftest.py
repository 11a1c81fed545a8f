"""A record with a row in every table, made once for a file of tests, and copies of it to break."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tampered_world import World, make_world

from orchestrator.audit.heads.local_copy import ledgers_path
from orchestrator.settings import load


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(load({"REPRISE_HOME": str(tmp_path_factory.mktemp("made") / "home")}))


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    """A copy, whose key knows the database at its new place."""
    copied = made.copy(tmp_path / "home")
    path = ledgers_path(copied.settings)
    path.write_text(path.read_text().replace(str(made.settings.home), str(copied.settings.home)))
    return copied
