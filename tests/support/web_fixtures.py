"""Fixtures of tests/web and of the browser tests: `from support.web_fixtures import *`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestrator.record.record import Record, open_record
from orchestrator.settings import Settings, load
from support.fresh_record import plant
from support.running_run import RunningJob, running_job
from support.seeded_record import Seeded, seed
from support.web_server import WebServer, web_server

__all__ = ["Site", "empty_site", "job", "record", "site", "site_of"]


class Site(NamedTuple):
    """A dashboard over a record with a study in it."""

    server: WebServer
    runs: Seeded


def _home(folder: Path) -> Settings:
    settings = load({"REPRISE_HOME": str(folder)})
    plant(folder / "reprise.db")
    return settings


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Shared by all tests of a process, which only read it."""
    settings = _home(tmp_path_factory.mktemp("web") / "home")
    runs = seed(settings)
    with web_server(settings) as server:
        yield Site(server, runs)


@pytest.fixture
def site_of(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """A new one of a test's own, which it may write to; options of the server."""
    with ExitStack() as stack:

        def make(seeded: bool = True, **options: object) -> Site:
            settings = _home(tmp_path / "home")
            runs = seed(settings) if seeded else Seeded()
            return Site(stack.enter_context(web_server(settings, **options)), runs)

        yield make


@pytest.fixture
def empty_site(site_of: Callable[..., Site]) -> Site:
    return site_of(seeded=False)


@pytest.fixture
def record(empty_site: Site) -> Iterator[Record]:
    with open_record(empty_site.server.settings) as opened:
        yield opened


@pytest.fixture
def job(empty_site: Site, record: Record) -> Iterator[RunningJob]:
    """A run of the empty site that is not over."""
    with running_job(empty_site.server.settings, record) as found:
        yield found
