"""What of a file of metrics is not recorded: said once, with how many more of it there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.run.collect.job_files import clean

if TYPE_CHECKING:
    from orchestrator.run.metrics.read_metrics import Reading


class Broken:
    """Lines that could not be read. The first is named, the others are counted."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0
        self._first = ""

    def add(self, number: int, why: str) -> None:
        self._count += 1
        self._first = self._first or f"metrics: {self._name}:{number} {why}"

    def tell(self, reading: Reading) -> None:
        rest = self._count - 1
        more = "" if rest < 1 else "; so is one more line" if rest == 1 else f"; so are {rest:,} more lines"
        if self._count:
            reading.lose(self._first + more)


class Ignored:
    """Numbers whose names cannot be a metric's. The first is named, the others are counted."""

    def __init__(self) -> None:
        self._count = 0
        self._first = ""

    def add(self, name: str, why: str) -> None:
        self._count += 1
        self._first = self._first or f"{clean(name, 60)!r} {why}"

    def tell(self, name: str, reading: Reading) -> None:
        more = f", and {self._count - 1} more numbers" if self._count > 1 else ""
        if self._count:
            reading.lose(f"metrics: {name}: left out: {self._first}{more}")
