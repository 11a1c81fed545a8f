"""Values to record: small ones with defaults, and hypothesis strategies for wide ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.records import finish_run, new_run

from orchestrator.record.record import Record, open_record
from orchestrator.settings import Settings, load

each_kind = ["sqlite", pytest.param("postgres", marks=pytest.mark.server)]


def _settings(home: Path, request: pytest.FixtureRequest, make: str) -> Settings:
    variables = {"REPRISE_HOME": str(home)}
    if request.param == "postgres":
        variables["REPRISE_DATABASE_URL"] = getattr(request.getfixturevalue("postgres"), make)()
    return load(variables)


@pytest.fixture(params=each_kind)
def empty_settings(tmp_path: Path, request: pytest.FixtureRequest, migrated_anew: None) -> Settings:
    """A database that no Reprise has seen, of each kind."""
    return _settings(tmp_path / "home", request, "new_database")


@pytest.fixture(params=each_kind)
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """An empty record of its own, on each kind of database."""
    return _settings(tmp_path / "home", request, "new_record")


@pytest.fixture(scope="module", params=each_kind)
def shared_settings(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Settings:
    """As `settings`, for a record that all tests of a file look at."""
    return _settings(tmp_path_factory.mktemp("shared"), request, "new_record")


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> Settings:
    return load({"REPRISE_HOME": str(tmp_path / "home")})


@pytest.fixture
def record(settings: Settings) -> Iterator[Record]:
    with open_record(settings) as opened:
        yield opened


@pytest.fixture
def finished(record: Record) -> Callable[..., str]:
    """Fields of the run and, under `result`, of its result -> the id."""

    def make(result: dict[str, Any] | None = None, **changes: Any) -> str:
        return finish_run(record, new_run(**changes), **(result or {}))

    return make


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Record]:
    """The record of another box."""
    with open_record(load({"REPRISE_HOME": str(tmp_path / "elsewhere")})) as opened:
        yield opened
