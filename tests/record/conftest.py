"""Values to record: small ones with defaults, and hypothesis strategies for wide ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.records import finish_run
from support.records import new_run as new_run_of

from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import NewRun
from orchestrator.settings import Settings, load


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def empty_settings(tmp_path: Path, request: pytest.FixtureRequest, migrated_anew: None) -> Settings:
    """A database that no Reprise has seen, of each kind."""
    variables = {"REPRISE_HOME": str(tmp_path / "home")}
    if request.param == "postgres":
        variables["REPRISE_DATABASE_URL"] = request.getfixturevalue("postgres").new_database()
    return load(variables)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """An empty record of its own, on each kind of database."""
    variables = {"REPRISE_HOME": str(tmp_path / "home")}
    if request.param == "postgres":
        variables["REPRISE_DATABASE_URL"] = request.getfixturevalue("postgres").new_record()
    return load(variables)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def shared_settings(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Settings:
    """As `settings`, for a record that all tests of a file look at."""
    variables = {"REPRISE_HOME": str(tmp_path_factory.mktemp("shared"))}
    if request.param == "postgres":
        variables["REPRISE_DATABASE_URL"] = request.getfixturevalue("postgres").new_record()
    return load(variables)


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> Settings:
    return load({"REPRISE_HOME": str(tmp_path / "home")})


@pytest.fixture
def record(settings: Settings) -> Iterator[Record]:
    with open_record(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def making() -> tuple[Callable[..., NewRun], Callable[..., str]]:
    """`new_run` and `finish_run`, for fixtures that live longer than a test."""
    return new_run_of, finish_run


@pytest.fixture
def new_run() -> Callable[..., NewRun]:
    return new_run_of


@pytest.fixture
def finished(record: Record) -> Callable[..., str]:
    """Fields of the run and, under `result`, of its result -> the id."""

    def make(result: dict[str, Any] | None = None, **changes: Any) -> str:
        return finish_run(record, new_run_of(**changes), **(result or {}))

    return make


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Record]:
    """The record of another box."""
    with open_record(load({"REPRISE_HOME": str(tmp_path / "elsewhere")})) as opened:
        yield opened
