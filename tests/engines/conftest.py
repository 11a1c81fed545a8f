"""The conformance suite is run on one engine after another: this machine's own, then those of engine.sh."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.conftest import os_archive, small  # noqa: F401

from orchestrator.image.base.resolve_base import resolve_base
from orchestrator.launch.bases.manage_bases import BaseImage
from orchestrator.run.engine.engine import Engine
from orchestrator.run.engine.load_image import ensure_loaded
from orchestrator.settings import Settings

SCRIPT = Path(__file__).parent / "engine.sh"
OWN = "own"  # the engine of this machine, whatever it is
WANTED = "REPRISE_ENGINE_NAMES"  # names, with spaces between; all where it is not set
TOP = "REPRISE_ENGINES"  # where the engines lie; `make engines` sets it

# Only `make engines` collects here.
collect_ignore_glob = [] if TOP in os.environ else ["test_*.py"]

# What another program than ours cannot do there.
NOT_THERE = {
    # Docker's own command line: "unable to upgrade to tcp, received 500".
    "podman": {
        "test_a_built_image_runs_under_plain_docker_too",
        # It takes no filter of system calls from us, so no plan for it has one.
        "test_a_container_of_another_plan_is_not_started[podman-5.8-SecurityOpt]",
        # It lists each mount there once more; the mounts themselves are compared.
        "test_what_opens_the_host_is_seen[podman-5.8-Binds]",
    },
}


def names() -> list[str]:
    there = subprocess.run([SCRIPT, "names"], check=True, capture_output=True, text=True).stdout.split()
    wanted = os.environ.get(WANTED, "").split() or [OWN, *there]
    unknown = sorted(set(wanted) - {OWN, *there})
    if unknown:
        raise pytest.UsageError(
            f"{WANTED}: no engine is called {', '.join(unknown)}; there are {OWN}, {there}"
        )
    return wanted


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine_name" in metafunc.fixturenames:
        metafunc.parametrize("engine_name", names(), indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What cannot be asked of an engine is taken out, and counted as that."""
    left_out = [item for item in items if _not_there(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _not_there(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    engine = str(call.params.get("engine_name", "")) if call is not None else ""
    named = {item.name, getattr(item, "originalname", item.name)}
    return any(engine.startswith(kind) and named & tests for kind, tests in NOT_THERE.items())


@pytest.fixture(scope="session")
def engine_name(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_base: Settings
) -> Iterator[str]:
    """The engine is up and has the base, and whatever this process starts talks to it."""
    name = str(request.param)
    if name == OWN:
        yield name
        return
    seen = Path(os.environ[TOP]) / "seen"
    assert tmp_path_factory.getbasetemp().is_relative_to(seen), (
        f"the engine sees only {seen}: run `make engines`"
    )
    up = subprocess.run([SCRIPT, "up", name], capture_output=True, text=True, check=False)
    assert up.returncode == 0, up.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", up.stdout.strip())
        _load_base(shared_base)
        yield name
    subprocess.run([SCRIPT, "down", name], check=True, capture_output=True)


@pytest.fixture(scope="session")
def made_once(engine_name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `small` keeps what it makes: each engine has to get its image."""
    folder = tmp_path_factory.getbasetemp() / f"made-once-{engine_name}"
    folder.mkdir(exist_ok=True)
    return folder


def _load_base(settings: Settings) -> None:
    base = resolve_base(settings, "cpu")
    engine = Engine.connect()
    try:
        ensure_loaded(engine, settings, BaseImage(base.ref, base.manifest, base.config, base.layers))
    finally:
        engine.close()
