"""What all tests share: a home of their own with the base that `make base` pinned, and the command line."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from support.box import SMALL_IMAGE, Box, make_box
from support.examples import tries
from support.fresh_record import migrated_anew, planted_records  # noqa: F401
from support.services import (
    PostgresServer,
    RegistryServer,
    S3Server,
    postgres_server,
    registry_server,
    s3_server,
)

from orchestrator import redaction
from orchestrator.image.image_model import LABEL_PROGRAM
from orchestrator.settings import Settings, load

# `make test` says the same twice, on a busy machine, too; `--hypothesis-profile search` looks for more.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None, max_examples=tries(100))
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile("same")

pytest_plugins = ["support.run_order", "support.torch_tests", "support.unit_guard"]

ENGINE_LOCK = Path(tempfile.gettempdir()) / "reprise-tests.lock"
ALONE = pytest.StashKey[int]()  # shared by all sessions of this machine's engine
IMAGES = pytest.StashKey[set[str]]()  # of jobs, in the engine, before the tests


def pytest_configure() -> None:
    """A shell starts what it puts in the background with Ctrl-C ignored, nohup with SIGHUP, and every child
    inherits that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Each full collection would walk through 7,000 tests: a seventh of the light tests' CPU."""
    gc.collect()
    gc.freeze()


def pytest_itemcollected(item: pytest.Item) -> None:
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        item.add_marker("property")


@pytest.fixture(autouse=True)
def _no_secret_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process remembers secrets and takes them out of every text."""
    monkeypatch.setattr(redaction, "_remembered", set(redaction._remembered))


@pytest.fixture(scope="session")
def shared_base() -> Settings:
    """The home whose pins hold the cpu base: `make base` makes it once per machine."""
    settings = load()
    if not settings.pins.exists():
        pytest.fail(
            f"no base is pinned in {settings.pins}: `make base` makes one (make test does it for you)"
        )
    return settings


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def team_registry(shared_base: Settings) -> Iterator[RegistryServer]:
    """For tests that do not ask what it holds: it has the base already."""
    with registry_server() as server:
        server.holds("team", shared_base.layout / "blobs" / "sha256")
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def box(tmp_path: Path, shared_base: Settings) -> Box:
    return make_box(tmp_path / "home", shared_base)


@pytest.fixture
def another_box(tmp_path: Path, shared_base: Settings) -> Callable[[str], Box]:
    return lambda name: make_box(tmp_path / name, shared_base)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Jobs' images that come while the tests run are removed at the end; one still needed is loaded anew."""
    if not hasattr(session.config, "workerinput"):  # of several processes, the one that started the others
        session.stash[IMAGES] = _job_images()
        session.stash[ALONE] = os.open(ENGINE_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(session.stash[ALONE], fcntl.LOCK_SH)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Another session on this engine may need what came meanwhile: whoever ends last removes it."""
    if IMAGES not in session.stash:
        return
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(session.stash[ALONE], fcntl.LOCK_EX | fcntl.LOCK_NB)
        # By its id: the base that was made of it is another tag of the same image.
        small = _images(f"reference={SMALL_IMAGE}", "{{.ID}}")
        made = sorted(_job_images() - session.stash[IMAGES] | small)
        if made:
            subprocess.run(["docker", "rmi", "--force", *made], capture_output=True, check=False)
    os.close(session.stash[ALONE])


def _job_images() -> set[str]:
    return _images(f"label={LABEL_PROGRAM}", "{{.Repository}}:{{.Tag}}")


def _images(chosen: str, form: str) -> set[str]:
    if shutil.which("docker") is None:
        return set()
    listed = ["docker", "images", "--filter", chosen, "--format", form]
    return set(subprocess.run(listed, capture_output=True, text=True, check=False).stdout.split())
