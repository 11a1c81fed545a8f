"""Values to record: small ones with defaults, and hypothesis strategies for wide ones."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.digest import Digest
from orchestrator.image.image_model import BaseRef, Layer, LayerKind
from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import ImageFacts, NewRun
from orchestrator.run.attempt_model import Result, State
from orchestrator.settings import Settings, load
from orchestrator.spec.jobfile.job_spec import Resources, Tolerances
from orchestrator.spec.program import Program


def digest_of(text: str) -> Digest:
    return Digest.of(text.encode())


def image_facts(name: str = "image") -> ImageFacts:
    base = BaseRef(name="cpu", digest=digest_of("base"), config_digest=digest_of("base config"))
    layer = Layer(kind=LayerKind.SOURCE, digest=digest_of(name), diff_id=digest_of(name), size=10240)
    return ImageFacts(
        digest=digest_of(name), config_digest=digest_of(f"{name} config"), base=base, layers=(layer,)
    )


def make_run(**changes: Any) -> NewRun:
    """A run of the job `digits`; beside fields: `job`, `params`, `seed`, `image` (a name)."""
    run = secrets.token_hex(8)
    program = Program(
        name=changes.pop("job", "digits"),
        command=("python", "train.py"),
        params=changes.pop("params", {}),
        seed=changes.pop("seed", 0),
    )
    fields: dict[str, Any] = {
        "id": run,
        "key": run,
        "image": image_facts(changes.pop("image", "image")),
        "program": program,
        "resources": Resources(),
        "tolerance": Tolerances(),
        "submitted_by": "ada",
        "reference": "reprise:1",
    }
    return NewRun.of(**(fields | changes))


def finish_run(record: Record, new: NewRun, **changes: Any) -> str:
    """Submit, claim and finish; a Result's fields may be changed."""
    run, _ = record.submit(new)
    attempt = record.claim(run, "box", "boot", "pid 1")
    record.finish(run, attempt, Result(**({"state": State.SUCCEEDED, "exit_code": 0} | changes)))
    return run


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


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> Settings:
    return load({"REPRISE_HOME": str(tmp_path / "home")})


@pytest.fixture
def record(settings: Settings) -> Iterator[Record]:
    with open_record(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def making() -> tuple[Callable[..., NewRun], Callable[..., str]]:
    """`make_run` and `finish_run`, for fixtures that live longer than a test."""
    return make_run, finish_run


@pytest.fixture
def new_run() -> Callable[..., NewRun]:
    return make_run


@pytest.fixture
def finished(record: Record) -> Callable[..., str]:
    """Fields of the run and, under `result`, of its result -> the id."""

    def make(result: dict[str, Any] | None = None, **changes: Any) -> str:
        return finish_run(record, make_run(**changes), **(result or {}))

    return make
