"""Steps that follow each other as one group, so that a trace of any length makes a bounded picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, Self, TypeVar


class StepGroup(Protocol):
    """Steps `first` to `last`, and what is counted of them."""

    first: int
    last: int

    def join(self, later: Self) -> None:
        """Add what was counted of the group that follows."""


Group = TypeVar("Group", bound=StepGroup)


class StepGroups(Generic[Group]):
    """Fewer than twice `most` groups: where there would be more, each two become one.

    `new` makes an empty group of one step.
    """

    def __init__(self, most: int, new: Callable[[int, int], Group]) -> None:
        self._most, self._new = most, new
        self._width = 1  # steps of a group
        self._groups: list[Group] = []

    def at(self, step: int) -> Group:
        """The group of a step. Steps come in order; one that comes late counts with the last group."""
        last = self._groups[-1] if self._groups else None
        if last is None or (step > last.last and step >= last.first + self._width):
            self._groups.append(self._new(step, step))
            if len(self._groups) >= 2 * self._most:
                self._halve()
            last = self._groups[-1]
        last.last = max(last.last, step)
        return last

    def _halve(self) -> None:
        for group, later in zip(self._groups[::2], self._groups[1::2], strict=True):
            group.last = later.last
            group.join(later)
        self._groups = self._groups[::2]
        self._width *= 2

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups)
