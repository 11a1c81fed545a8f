"""The problems of a job file, reported together: one line each, with its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.errors import UsageError
from orchestrator.message_wording import did_you_mean, listed, shortened
from orchestrator.spec.shown_names import fits_a_line

SHOWN = 50  # problems in the message; `problems` has all
_NAMED = 20  # names that are known, in a hint

KeyPath = tuple[str | int, ...]
"""The way to a value: `("params", "lr")`, `("outputs", 0)`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `line` counts from 1, None if it has none; `key` is dotted."""

    file: str
    line: int | None
    key: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        """`job.yaml:12: params.lr: message (hint)`"""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        key = f"{self.key}: " if self.key else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: {key}{self.message}{hint}"


class SpecError(UsageError):
    """A job file that cannot be used. `problems` holds every mistake that was found, by line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line or 0))
        lines = [str(problem) for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            lines.append(f"and {len(self.problems) - SHOWN} more")
        super().__init__("\n".join(lines))


def dotted(path: KeyPath) -> str:
    """`("outputs", 0)` -> `outputs[0]`; a key is shortened where it would fill the line."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + shorten(step)
    return text


def shorten(text: str, limit: int = 60) -> str:
    """Text for a message: one line, printable, at most `limit` characters."""
    clean = "".join(letter if fits_a_line(letter) else "?" for letter in text)
    return shortened(clean, limit)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """`did you mean seed?`, or the list of known names; None without known names."""
    names = sorted(known)
    return did_you_mean(name.lower(), names, f"known: {listed(names, _NAMED)}") if names else None
