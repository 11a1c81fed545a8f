"""A created container is not started over an input that became another since it was hashed."""

from __future__ import annotations

from pathlib import Path

from orchestrator.launch.execute.checked_inputs import changed_before
from orchestrator.launch.session import Session
from orchestrator.run.attempt_model import Mount, Plan
from orchestrator.settings import load
from orchestrator.spec.input_stamps import stamp_of
from orchestrator.spec.inputs import digest_of


def test_an_input_that_was_swapped_before_the_start_is_not_used(tmp_path: Path) -> None:
    session, data = Session(load({"REPRISE_HOME": str(tmp_path / "home")})), tmp_path / "data"
    data.write_text("1")
    (session.settings.attempts / "0123456789abcdef-1").mkdir(parents=True)
    mount = Mount(source=data, target="/inputs/data", read_only=True)
    plan = Plan.model_construct(run="0123456789abcdef", attempt=1, mounts=(mount,))
    stamps = {"data": stamp_of(data)}
    assert changed_before(session, {"data": digest_of(data)}, plan, stamps) is None
    data.rename(tmp_path / "aside")
    data.symlink_to(tmp_path / "aside")
    said = changed_before(session, {"data": digest_of(data)}, plan, stamps)
    assert said == "input data was changed after it was checked: the job was not started"
