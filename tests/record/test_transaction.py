"""Functions over a connection as methods, and what is asked after a commit that was cut off."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getclosurevars, signature
from typing import Any

import pytest

from orchestrator.record import record as doors
from orchestrator.record.transaction import Door, writing

DOORS = [door for door in vars(doors).values() if isinstance(door, type) and issubclass(door, Door)]


def test_what_is_asked_after_a_cut_names_arguments_that_there_are() -> None:
    asked = 0
    for door in DOORS:
        for method in vars(door).values():
            if hasattr(method, "__wrapped__"):
                settled = getclosurevars(method).nonlocals.get("settled")
                asked += settled is not None
                assert (
                    settled is None
                    or signature(settled).parameters.keys() <= signature(method).parameters.keys()
                ), method
    assert asked > 5


class Twice:
    """A database whose first commit was cut off: it asks `settled`."""

    def write(self, work: Callable[[Any], Any], settled: Callable[[Any], Any]) -> Any:
        work("lost")
        found = settled("again")
        return work("again") if found is None else found


@pytest.mark.parametrize(("answer", "done"), [(7, ["lost"]), (None, ["lost", "again"])])
def test_the_arguments_go_to_the_question_by_their_names(answer: int | None, done: list[str]) -> None:
    seen: list[str] = []
    told: list[tuple[Any, ...]] = []

    def work(connection: Any, run: str, number: int, only: int | None = None) -> int:
        seen.append(connection)
        return 1

    def settled(connection: Any, number: int, only: int | None) -> int | None:
        told.append((connection, number, only))
        return answer

    class Some(Door):
        do = writing(work, settled)

    assert Some(Twice()).do("a", number=3) == (answer or 1)  # type: ignore[arg-type]
    assert (seen, told) == (done, [("again", 3, None)])
