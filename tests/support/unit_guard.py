"""A unit test needs Python, git and a shell, and nothing else: one that asks for more fails with a message.

Tests in tests/integration, and those marked `engine` or `server`, may ask for more.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

ENGINE_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
PROGRAMS = (
    *("docker", "dockerd", "docker-registry", "initdb", "pg_ctl", "psql", "openssl", "fish", "zsh"),
    *("mmdebstrap", "mount", "unshare", "runuser", "sudo", "skopeo", "podman", "sbatch", "ray"),
)
NO_ENGINE = "unix:///nowhere/a-unit-test-has-no-engine.sock"
_INTEGRATION = Path(__file__).resolve().parents[1] / "integration"
_PATH = os.environ.get("PATH", os.defpath)  # before a test sets another
_guarded = False


def is_unit(item: pytest.Item) -> bool:
    marked = any(item.get_closest_marker(name) for name in ("engine", "server", "gpu", "acceptance"))
    return not marked and _INTEGRATION not in item.path.parents


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    asked = _asked(event, arguments) if _guarded else ""
    if asked:
        pytest.fail(f"a unit test asks for {asked}: move it to tests/integration, or mark it `server`")


def _asked(event: str, arguments: tuple[object, ...]) -> str:
    if event == "socket.connect" and arguments[1] in ENGINE_SOCKETS:
        return "the Docker Engine"
    if event == "subprocess.Popen" and isinstance(arguments[0], str | os.PathLike):
        folder, name = os.path.split(os.fspath(arguments[0]))
        found = None if folder else shutil.which(name)
        if found is not None and found != shutil.which(name, path=_PATH):
            folder = os.path.dirname(found)  # a stand-in, on a PATH that the test set
        if name in PROGRAMS and (not folder or folder.startswith(("/usr/", "/bin", "/sbin"))):
            return name
    return ""


sys.addaudithook(_watch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    yield from _guarding(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    yield from _guarding(item)


def _guarding(item: pytest.Item) -> Generator[None]:
    global _guarded
    if not is_unit(item):
        return (yield)
    _guarded = True
    try:
        return (yield)
    finally:
        _guarded = False


@pytest.fixture(autouse=True)
def _no_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that a unit test starts find no engine either."""
    if is_unit(request.node):
        monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)
