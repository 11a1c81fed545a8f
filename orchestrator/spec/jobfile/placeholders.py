"""`{param}` in a command: filled from the spec's parameters and seed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.spec.jobfile.job_spec import Scalar

# `{{` and `}}` are literal braces; `${NAME}` is the shell's and left alone.
_TOKEN = re.compile(r"\{\{|\}\}|(?<!\$)\{([A-Za-z0-9][A-Za-z0-9._-]*)\}")


SHELL = ("/bin/bash", "-euo", "pipefail", "-c")  # as CI services run a text: a command that fails ends it


def text_of(value: Scalar) -> str:
    """A parameter as a program's argument: `true`/`false`, shortest round-trip floats.

    A negative float has no exponent: argparse takes `-0.00001` for a number and `-1e-05` for an option.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value) if isinstance(value, float) else str(value)
    if isinstance(value, float) and text.startswith("-") and "e" in text:
        text = format(Decimal(text), "f")
        return text if "." in text else f"{text}.0"
    return text


def placeholders(command: str | tuple[str, ...]) -> list[str]:
    """The names used in a command, in order of their first use."""
    parts = (command,) if isinstance(command, str) else command
    names = (match.group(1) for part in parts for match in _TOKEN.finditer(part))
    return list(dict.fromkeys(name for name in names if name))


def marked(command: str) -> tuple[str, list[tuple[int, str]]]:
    """A text command with one letter for each placeholder and its braces read; index and name of each."""
    parts: list[str] = []
    marks: list[tuple[int, str]] = []
    end = length = 0
    for match in _TOKEN.finditer(command):
        parts.append(command[end : match.start()])
        length += len(parts[-1])
        if match.group(1):
            marks.append((length, match.group(1)))
        parts.append("x" if match.group(1) else match.group(0)[0])
        length += 1
        end = match.end()
    return "".join([*parts, command[end:]]), marks


def filled_size(part: str, sizes: Mapping[str, int]) -> int:
    """How many bytes of UTF-8 a part of a command has once values of these sizes are filled in."""
    size = len(part.encode())
    for match in _TOKEN.finditer(part):
        name = match.group(1)
        size += sizes[name] - len(match.group(0)) if name else -1  # of `{{` one brace stays
    return size


def fill_command(command: str | tuple[str, ...], params: Mapping[str, Scalar], seed: int) -> tuple[str, ...]:
    """The argv of a command. Text runs under SHELL, so its values are quoted for the shell.

    Raises KeyError for a name that is neither a parameter nor `seed`; reading a spec reports it before.
    """
    values = {"seed": str(seed)} | {name: text_of(value) for name, value in params.items()}

    def fill(part: str, quote: bool) -> str:
        def token(match: re.Match[str]) -> str:
            name = match.group(1)
            if name is None:
                return match.group(0)[0]
            return shlex.quote(values[name]) if quote else values[name]

        return _TOKEN.sub(token, part)

    if isinstance(command, str):
        return (*SHELL, fill(command, quote=True))
    return tuple(fill(part, quote=False) for part in command)
