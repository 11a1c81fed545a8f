"""A digest that ran before is said at once, and its run can be taken."""

from __future__ import annotations

from support.records import finish_run, image_facts, new_run

from orchestrator.launch.session import Session
from orchestrator.launch.submit.earlier_run import earlier_run
from orchestrator.launch.watch import KeptNotes
from orchestrator.run.attempt_model import Failure, State

A, B = "aaaa000000000001", "bbbb000000000002"
IMAGE = image_facts("image").digest


def test_the_run_that_succeeded_is_taken_where_it_is_asked_for(session: Session) -> None:
    heard = KeptNotes()
    assert earlier_run(session, IMAGE, True, heard) is None and heard.notes == []
    finish_run(session.record, new_run(id=A, image="image"))
    finish_run(session.record, new_run(id=B, image="image"), state=State.FAILED, failure=Failure.JOB)
    taken = earlier_run(session, IMAGE, True, heard)
    assert taken is not None and taken.id == A
    assert earlier_run(session, IMAGE, False, heard) is None
    assert heard.notes[0] == f"ran before as {A}, identical: the same digest"
    assert "--reuse takes that run" in heard.notes[1]


def test_a_run_that_failed_is_said_and_never_taken(session: Session) -> None:
    heard = KeptNotes()
    finish_run(session.record, new_run(id=B, image="image"), state=State.FAILED, failure=Failure.JOB)
    assert earlier_run(session, IMAGE, True, heard) is None
    assert heard.notes == [f"submitted before as {B}, identical: the same digest; it is failed"]
