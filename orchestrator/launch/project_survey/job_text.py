"""A drafted job as the text of a job file, with comments, as a person would write it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.launch.project_survey.interfaces.script_options import (
    ScriptInterface,
    ScriptOption,
    literal_words,
    one_line,
    placeholder,
)
from orchestrator.spec.jobfile.job_spec import Scalar
from orchestrator.spec.jobfile.strict_yaml import ScalarError, plain_scalar

WIDTH = 100  # columns
_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+@=-]*\Z", re.ASCII)


@dataclass(frozen=True)
class JobDraft:
    """What a job file is to say."""

    name: str
    origin: str  # what it was made from, for people
    words: tuple[str, ...]  # what the command begins with
    interface: ScriptInterface
    literals: Mapping[str, str] = field(
        default_factory=dict
    )  # parameter -> word in its place: an input's path
    setup: tuple[str, ...] = ()  # commands before, as they stand in a shell
    paths: tuple[str, ...] = ()  # for PYTHONPATH
    requirements: str | None = None
    requirements_pending: bool = False  # the file is not there yet
    base: str | None = None
    base_reason: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    suggested_inputs: Mapping[str, str] = field(default_factory=dict)  # commented out
    trace: bool = True
    gpus: bool = False  # the script asks for one: suggested, commented out
    network: str = ""  # why the script may need one: suggested, commented out


def command_of(draft: JobDraft) -> list[str]:
    """The command's words, each with its option's value: pieces that no line break may part."""
    first = literal_words(draft.words)
    if draft.paths:
        first = f"PYTHONPATH={':'.join(shlex.quote(path or '.') for path in draft.paths)} {first}"
    pieces = [*(f"{line} &&" for line in draft.setup), first]
    pieces += [literal_words([word]) for word in draft.interface.before]
    for option in draft.interface.options:
        word = draft.literals.get(option.name)
        given = None if word is None else option.written.replace("{}", literal_words([word]))
        pieces.append(placeholder(option) if given is None else given)
    return pieces + [literal_words([word]) for word in draft.interface.after]


def job_text(draft: JobDraft) -> str:
    """The file. Every value in it is one that the strict reader of job files gives back."""
    blocks = [
        f"# Drafted by `reprise init` from {one_line(draft.origin)}; nothing of it was run.\n",
        f"name: {scalar(draft.name)}\n",
        _base(draft),
        _command(command_of(draft)),
        _left_out(draft.interface.left_out),
        _params(draft),
        _seed(draft.interface.options),
        _requirements(draft),
        _inputs(draft),
        _outputs(draft.interface.volatile),
        _determinism(draft),
        _resources(draft),
    ]
    return "".join(blocks)


def demanded(draft: JobDraft) -> tuple[str, ...]:
    """The parameters that the script has no default for."""
    options = (option for option in draft.interface.options if not option.is_seed)
    return tuple(
        option.name for option in options if option.value is None and option.name not in draft.literals
    )


def scalar(value: Scalar | None) -> str:
    """A value as the strict reader gives it back: plain where that is safe, else in double quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if value is None:
        return ""
    try:
        plain = _PLAIN.match(value) and plain_scalar(value) == value
    except ScalarError:
        plain = False
    return value if plain else json.dumps(value, ensure_ascii=False).replace("\x7f", "\\x7f")


def _base(draft: JobDraft) -> str:
    return _with_comment(f"base: {scalar(draft.base)}", draft.base_reason) if draft.base else ""


def _requirements(draft: JobDraft) -> str:
    if draft.requirements is None:
        return ""
    why = "`reprise lock` is still to write it" if draft.requirements_pending else "locked with hashes"
    return _with_comment(f"requirements: {scalar(draft.requirements)}", why)


def _command(pieces: Iterable[str]) -> str:
    """One line, or a folded text whose lines end between the pieces."""
    lines: list[str] = []
    for piece in pieces:
        if lines and len(lines[-1]) + len(piece) < WIDTH - 2:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    if len(lines) == 1 and re.fullmatch(r"[A-Za-z][^:#]*", lines[0]) and not lines[0].endswith(" "):
        return f"command: {lines[0]}\n"
    return "command: >-\n" + "".join(f"  {line}\n" for line in lines)


def _left_out(flags: tuple[str, ...]) -> str:
    """Options without a value to write: the script's own defaults hold."""
    if not flags:
        return ""
    lines = ["# Left at the script's own defaults; add to the command what you need:"]
    line = "#  "
    for flag in flags[:100]:
        if len(line) + len(flag) > WIDTH:
            lines.append(line)
            line = "#  "
        line += f" {flag}"
    return "\n".join([*lines, line + (" …" if len(flags) > 100 else "")]) + "\n"


def _params(draft: JobDraft) -> str:
    shown = [
        option
        for option in draft.interface.options
        if not option.is_seed and option.name not in draft.literals
    ]
    given = [option for option in shown if option.value is not None]
    lines = ["params:\n"] if given else ["# params:\n"] if shown else []
    for option in given:
        lines.append(_with_comment(f"  {scalar(option.name)}: {scalar(option.value)}", _explained(option)))
    for option in shown:
        if option.value is None:
            how = f"demanded by the script: give it here, or with -p {option.name}=…"
            # At the left edge where no mapping is open: indented, it would be text of the command.
            lines.append(_with_comment(f"  # {option.name}:" if given else f"#   {option.name}:", how))
    return "".join(lines)


def _explained(option: ScriptOption) -> str:
    """The choices, if there are any, then the script's own help."""
    choices = f"one of {', '.join(option.choices)}" if option.choices else ""
    return "; ".join(part for part in (choices, option.help) if part)


def _with_comment(line: str, comment: str) -> str:
    room = WIDTH - 30
    comment = one_line(comment)
    short = comment if len(comment) <= room else f"{comment[: room - 1].rstrip()}…"
    return f"{line:<26}  # {short}\n" if short else f"{line}\n"


def _seed(options: Iterable[ScriptOption]) -> str:
    seed = next((option.value for option in options if option.is_seed), None)
    return f"seed: {seed or 0}\n"


def _inputs(draft: JobDraft) -> str:
    lines = ["inputs:\n"] if draft.inputs else []
    for name, path in draft.inputs.items():
        lines.append(_with_comment(f"  {scalar(name)}: {scalar(path)}", f"read-only at /inputs/{name}"))
    if draft.suggested_inputs:
        lines.append("# Outside of this folder, so not taken without being asked; if the job reads it:\n")
        lines += ["# inputs:\n"] if not draft.inputs else []
        lines += [f"#   {scalar(name)}: {scalar(path)}\n" for name, path in draft.suggested_inputs.items()]
    return "".join(lines)


def _outputs(volatile: tuple[str, ...]) -> str:
    if not volatile:
        return ""
    globs = "".join(f", {{glob: {scalar(glob)}, volatile: true}}" for glob in volatile)
    return _with_comment(f'outputs: ["**"{globs}]', "differs by nature: kept, never compared")


def _determinism(draft: JobDraft) -> str:
    if draft.trace:
        return ""
    return "determinism:\n" + _with_comment(
        "  trace: off", "nothing imports torch: there are no steps to trace"
    )


def _resources(draft: JobDraft) -> str:
    lines = []
    if draft.gpus:
        lines += ["#   gpus: 1                 # the script names cuda; without this it sees no GPU\n"]
    if draft.network:
        lines += [f"#   network: bridge         # {one_line(draft.network)}\n"]
    return "".join(["# resources:\n", *lines]) if lines else ""
