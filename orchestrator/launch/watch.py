"""What a person sees while work goes on. The command line shows it; everything else reports to it."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """Hears of progress. Must not block for long."""

    def phase(self, name: str, detail: str = "") -> None:
        """A new step begins.

        One of `base`, `source`, `wheels`, `image`, `upload`, `fetch`, `push`, `pull`, `load`, `queue`,
        `create`, `run`, `collect`, `verdict`, `export`, `import`.
        """

    def log(self, data: bytes) -> None:
        """Raw bytes that the job wrote; to be cleaned before they are shown."""

    def tick(self, seconds: float, workspace_bytes: int) -> None:
        """The job is alive: seconds since its start, bytes in its workspace."""

    def moved(self, done: int, total: int) -> None:
        """Bytes of a transfer so far, and in all. From any thread."""

    def note(self, text: str) -> None:
        """Something a person should know, in one line."""


class Silent:
    """For work that nobody looks at."""

    def phase(self, name: str, detail: str = "") -> None:
        pass

    def log(self, data: bytes) -> None:
        pass

    def tick(self, seconds: float, workspace_bytes: int) -> None:
        pass

    def moved(self, done: int, total: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class KeptNotes(Silent):
    """Keeps the notes that it hears."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)
