"""What tests of `launch/` share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.moves_kept import MovesKept

from orchestrator.launch.session import Session
from orchestrator.settings import load


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """Of an empty home, in `tmp_path / "home"`."""
    with Session(load({"REPRISE_HOME": str(tmp_path / "home")})) as made:
        yield made


@pytest.fixture
def watch() -> MovesKept:
    return MovesKept()
