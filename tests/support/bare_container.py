"""A container as a plan makes it, of the base alone: nothing of ours runs in it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator.image.base.base_pins import list_pins
from orchestrator.run.attempt_model import Plan
from orchestrator.run.engine.engine import Engine
from orchestrator.run.hardware import home_id
from orchestrator.run.plan import plan_container
from orchestrator.run.workspace import folders_of, prepare, remove_folders
from orchestrator.settings import Settings
from orchestrator.spec.jobfile.job_spec import Resources
from orchestrator.spec.program import Program


@contextmanager
def bare_plan(
    engine: Engine, settings: Settings, base: Settings, script: str, **asked: Any
) -> Iterator[Plan]:
    """The plan, with its folders, for a Python script. `asked`: resources. The container goes at the end."""
    run, pin = secrets.token_hex(8), next(one for one in list_pins(base) if one.name == "cpu")
    made = plan_container(
        run=run,
        attempt=1,
        image=pin.reference,
        program=Program(name="x", command=(script,)),
        resources=Resources(**asked),
        folders=folders_of(settings, run, 1),
        inputs={},
        gpus=(),
        engine=engine.info(),
        home=home_id(settings),
    )
    prepare(settings, run, 1)
    yield made.model_copy(update={"entrypoint": (pin.python.executable, "-c")})
    engine.remove(made.container)
    remove_folders(settings, run, 1)
