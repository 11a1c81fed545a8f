"""Inputs are checked before a run begins: one that became another ends it, and so does a person."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.records import new_run

from orchestrator.launch.execute.checked_inputs import changed_before
from orchestrator.launch.inputs.upload_input import put_input
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.run.attempt_model import Mount, Plan
from orchestrator.settings import load
from orchestrator.spec.input_stamps import stamp_of
from orchestrator.spec.inputs import digest_of
from orchestrator.spec.program import Program


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


SCRIPT = """
import sys, time
from orchestrator.launch.execute.attempt_plan import Terms
from orchestrator.launch.execute.checked_inputs import checked
from orchestrator.launch.inputs import input_cache
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.spec import inputs

def told(work, begins):
    def telling(*words):
        if begins(*words):
            print("begun", flush=True)
        return work(*words)
    return telling

def slow(digest, offset, size):
    yield from real(digest, offset, 1000)
    while size == 3_000_000:
        time.sleep(0.01)
        yield b"0"

with Session.open() as session:
    run, where, real = session.record.run(sys.argv[1]), sys.argv[2], session.store.stream
    if where == "store":
        session.store.stream = told(slow, lambda digest, offset, size: size == 3_000_000)
    elif where == "path":
        inputs._hash = told(inputs._hash, lambda stream, path, *more: path.name == "3")
    else:
        input_cache.chunks_of = told(input_cache.chunks_of, lambda stream: True)
    if checked(session, run, 1, Terms(), Silent()) is None:
        with session.inputs.holding(run.program.inputs["data"]):
            print("let go", flush=True)
"""


def endless(path: Path) -> None:
    """A file of which nobody sees the end: ext4 takes no larger one."""
    path.unlink(missing_ok=True)
    with path.open("wb") as out:
        out.truncate(10 << 40)


@pytest.mark.parametrize("ends", ["Ctrl-C", "cancel"])
@pytest.mark.parametrize("where", ["store", "path", "cache"])
def test_a_person_ends_a_run_whose_inputs_take_for_ever(tmp_path: Path, where: str, ends: str) -> None:
    """The process ends, or goes on without what was hashed or fetched, and lets go of the input."""
    environ = {"REPRISE_HOME": str(tmp_path / "home"), "REPRISE_STORE": str(tmp_path / "store")}
    data = tmp_path / "data"
    data.mkdir()
    for number in range(5):
        (data / f"{number}").write_bytes(bytes([number]) * (3_000_000 if number else 10))
    with Session(load(environ)) as session:
        sent = put_input(session, data, Silent())
        program = Program(name="job", command=("python",), inputs={"data": sent.digest})
        paths = {"data": str(data)} if where == "path" else {}
        run, _ = session.record.submit(new_run(program=program, inputs=(sent,), input_paths=paths))
        session.record.claim(run, "box", "boot", "pid 1")
        if where == "path":
            endless(data / "3")
        elif where == "cache":
            session.inputs.used(sent.digest)
            list_ = session.inputs.file(sent.digest)
            list_.parent.mkdir(parents=True)
            endless(list_)
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, run, where], env=os.environ | environ, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        if ends == "cancel":
            session.record.request_cancel(run)
        else:
            process.send_signal(signal.SIGINT)
        try:
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (b"let go" in said) == (ends == "cancel")
    assert process.returncode == (0 if ends == "cancel" else -signal.SIGINT)
