"""What a script takes on its command line, and what of it a job file can have as parameters.

The rule: the written command must do what the script does without any option. Leaving an option out is always
right, because its own default holds. It is written only where its default, as text, is read back as the same.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from orchestrator.spec.jobfile.job_spec import Scalar
from orchestrator.spec.jobfile.placeholders import text_of
from orchestrator.spec.shown_names import fits_a_line

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_WRITTEN = re.compile(r"(?:[A-Za-z0-9_.@/+-]+[ =])?\{\}\Z", re.ASCII)  # no letter that a shell reads
SEED_NAMES = frozenset(
    {"seed", "random_seed", "manual_seed", "manualseed", "rng_seed", "randomseed", "global_seed"}
)
LONG = 300  # characters of a value that a command line may show
MAX_OPTIONS = 500  # that are written into a command; a person reads it, and a job file has bounds


@dataclass(frozen=True)
class ScriptOption:
    """One option. `written` is how it stands in the command, with `{}` for its value."""

    name: str  # of the parameter
    written: str  # `--lr {}`, `lr={}`, `{}`
    value: Scalar | None  # its default; None: the script demands one
    help: str = ""
    choices: tuple[str, ...] = ()
    is_seed: bool = False  # a whole number that seeds the script


@dataclass(frozen=True)
class ScriptInterface:
    """All options of a script, in the order in which they are written."""

    framework: str  # argparse, click …; empty: it reads no command line that was understood
    options: tuple[ScriptOption, ...] = ()
    before: tuple[str, ...] = ()  # words before the options: a subcommand
    after: tuple[str, ...] = ()  # words behind them: settings that a job needs
    left_out: tuple[str, ...] = ()  # flags that are off, and options without a default: as they are typed
    notes: tuple[str, ...] = ()
    volatile: tuple[str, ...] = ()  # globs of outputs that differ by nature


@dataclass
class OptionCollector:
    """Takes options as a reader finds them, and keeps those that a job file can have."""

    options: list[ScriptOption] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)

    def add(self, option: ScriptOption, typed: str) -> None:
        """`typed` is how a person types it, for the list of those that are left out."""
        option = replace(option, name=option.name.lstrip("_-."), help=one_line(option.help))
        seeds = option.name.lower().rpartition(".")[2].replace("-", "_") in SEED_NAMES
        seeded = seeds and not any(other.is_seed for other in self.options)
        if seeded and option.is_seed:
            option = replace(option, value=_as_seed(option.value))
        else:
            option = replace(option, is_seed=False)
            if option.name == "seed":
                option = replace(option, name="seed_option")
        good = _NAME.match(option.name) and option.name not in self._names and len(self.options) < MAX_OPTIONS
        if good and is_writable(option.value) and _WRITTEN.match(option.written):
            self._names.add(option.name)
            self.options.append(option)
        else:
            self.leave_out(typed)

    def leave_out(self, typed: str) -> None:
        known = len(self.left_out) >= MAX_OPTIONS or typed in self.left_out
        if typed and fits_a_line(typed) and len(typed) <= LONG and not known:
            self.left_out.append(typed)


def is_writable(value: object) -> bool:
    """Whether a value can be a parameter: a number that YAML has, or text of one line."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str) and fits_a_line(value) and len(value) <= LONG


def one_line(text: str) -> str:
    """Help as a comment: one line without anything that could end it."""
    joined = " ".join(text.split())
    return joined[:100] if fits_a_line(joined) else ""


def _as_seed(value: Scalar | None) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 32 else 0


def placeholder(option: ScriptOption) -> str:
    """The option in a command of text, its value's place named."""
    return option.written.replace("{}", f"{{{'seed' if option.is_seed else option.name}}}")


def literal_words(words: Iterable[str]) -> str:
    """Words as they stand in a command of text: quoted for the shell, braces doubled."""
    return " ".join(shlex.quote(word) for word in words).replace("{", "{{").replace("}", "}}")


def plain_argument(path: str) -> str:
    """A relative path that no program takes for an option."""
    return f"./{path}" if path.startswith("-") else path


def looks_like_option(value: Scalar | None) -> bool:
    """Whether a parser could take the value for an option of its own."""
    return (isinstance(value, str) and value.startswith("-")) or (
        isinstance(value, int | float) and text_of(value).startswith("-")
    )
