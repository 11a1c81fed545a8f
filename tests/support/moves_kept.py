"""A watch that keeps how far work was told to be."""

from __future__ import annotations

from orchestrator.launch.watch import Silent


class MovesKept(Silent):
    def __init__(self) -> None:
        self.moves: list[tuple[int, int]] = []  # (done, total)

    def moved(self, done: int, total: int) -> None:
        self.moves.append((done, total))
