"""Jobs that the script of `support.flips` runs: the unflipped ones, made once, and what flips their world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.launch.execute import attempt_plan
from orchestrator.launch.session import Session
from orchestrator.launch.submit.build_image import BuildRequest
from orchestrator.launch.submit.submit_run import submit
from orchestrator.launch.watch import Silent
from orchestrator.record.run_record import RunRecord
from support.box import write_job
from support.flips import SCRIPT, Flip

_UNFLIPPED = attempt_plan.plan_container


def flipped_job(folder: Path, flip: Flip, script: str = SCRIPT) -> Path:
    """The job file, in a new folder; what is flipped outside the job is not flipped here."""
    data = bytearray(index * 37 % 251 for index in range(64 * 256))
    if flip.data:
        data[1000] ^= 1
    data_file = folder / "data"
    folder.mkdir(parents=True)
    data_file.write_bytes(data)
    by_set = "env: {BY_SET: '1'}\n" if "set" in flip.name.split() else ""
    return write_job(folder / "job", script, f"inputs: {{data: {data_file}}}\n{by_set}{flip.spec}")


class Originals:
    """The unflipped run that a flip is held against."""

    def __init__(self, session: Session, folder: Path, script: str = SCRIPT) -> None:
        self._session, self._folder, self._script = session, folder, script
        self._made: dict[bool, RunRecord] = {}

    def of(self, flip: Flip) -> RunRecord:
        by_set = "set" in flip.name.split()
        if by_set not in self._made:
            spec = flipped_job(self._folder / f"set-{by_set}", Flip(flip.name), self._script)
            run = submit(self._session, BuildRequest(spec_path=spec), Silent())
            assert run.state == "succeeded", run.message
            self._made[by_set] = run
        return self._made[by_set]


def flip_world(monkeypatch: pytest.MonkeyPatch, flip: Flip) -> None:
    """Containers that are planned from now on have this flip's environment, and that of no flip before it."""

    def elsewhere(**arguments: Any) -> Any:
        plan = _UNFLIPPED(**arguments)
        return plan.model_copy(update={"environment": plan.environment | flip.environment})

    monkeypatch.setattr(attempt_plan, "plan_container", elsewhere)
