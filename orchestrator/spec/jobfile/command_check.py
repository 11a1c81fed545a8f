"""Checks a command: each placeholder needs a value, must stand where the shell reads it as one word, and all
must fit into a process.

Works on plain values, after `short_forms.py` has written the short forms out.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.digest import canonical_json
from orchestrator.spec.jobfile.job_spec import JobSpec
from orchestrator.spec.jobfile.placeholders import filled_size, marked, placeholders, text_of
from orchestrator.spec.jobfile.problem_collector import Collector
from orchestrator.spec.jobfile.problems import KeyPath, nearest, shorten
from orchestrator.spec.jobfile.shell_quoting import ShellContext, contexts
from orchestrator.spec.jobfile.short_forms import table_in

_VARIABLE = "REPRISE_PARAMS"
# A field of Python's `format` with a format or conversion: `{lr:.3f}`, `{name!r}`.
_FORMATTED = re.compile(r"(?<![${])\{([A-Za-z0-9][A-Za-z0-9._-]*)[:!][^{}\s]*\}(?!\})")
MOST_TEXT = (128 << 10) - 1  # bytes of one word or variable (MAX_ARG_STRLEN, with its NUL)
_MOST = 1 << 20  # bytes of all together; Linux takes 2 MiB where a stack may have 8
_LONG = "put long text into a file of the source, or into an input, and let the script read it"
_NOTES = 20
_COMPARED = 10  # problems that get a suggestion: comparing names takes its time
_SHELLS = ("sh", "bash", "dash", "zsh", "ksh")
_OUTSIDE = 'write it outside of them: --name {{{0}}}, or "before"{{{0}}}"after"'
_HINTS = {
    ShellContext.SINGLE: _OUTSIDE,
    ShellContext.DOUBLE: _OUTSIDE,
    ShellContext.BACKQUOTES: "write $(...) for `...`: in it quotes are read as elsewhere",
    ShellContext.HERE: "the shell takes no quotes off there: read the value from $REPRISE_PARAMS, as JSON",
    ShellContext.ARITHMETIC: "only a number can be read there",
    ShellContext.ESCAPED: "leave the backslash out: the value is quoted for the shell already",
}


def placeholders_in(data: dict[str, Any]) -> set[str]:
    """The placeholders of the command, except `seed`."""
    command = data.get("command")
    if not isinstance(command, str | list):
        return set()
    return set(placeholders(command if isinstance(command, str) else tuple(command))) - {"seed"}


def check_placeholders(data: dict[str, Any], names: set[str], found: Collector) -> None:
    """Every `{name}` of the command must be a parameter or `seed`, and stand where its value is one word."""
    command = data.get("command")
    if command is None or found.covers(("params",)):
        return
    words = [command] if isinstance(command, str) else command
    known = names | {"seed"}
    for number, word in enumerate(words):
        path: KeyPath = ("command",) if isinstance(command, str) else ("command", number)
        for name in placeholders(word):
            if name not in known:
                near = (nearest(name, known) if len(found.problems) < _COMPARED else None) or ""
                given = "" if near.startswith("did") else f"; or give it: -p {shorten(name)}=VALUE"
                hint = f"{near}{given}; {{{{{name}}}}} is the text with its braces"
                found.add(path, f"{{{shorten(name)}}} is neither a parameter nor seed", hint)
    # Parameters whose text never needs quotes. `-p` cannot change their type.
    params = table_in(data, "params").items()
    numbers = {"seed"} | {name for name, value in params if isinstance(value, bool | int | float)}
    if isinstance(command, str):
        _check_places(command, numbers, found)
    else:
        _check_script(command, numbers, found)


def _check_places(command: str, numbers: set[str], found: Collector) -> None:
    text, marks = marked(command)
    where = contexts(text)
    reported: set[str] = set()
    for index, name in marks:
        place = where[index]
        harmless = place in (ShellContext.WORD, ShellContext.COMMENT)
        number = name in numbers and place not in (ShellContext.SINGLE, ShellContext.DOUBLE)
        if harmless or number or name in reported:
            continue
        reported.add(name)
        message = f"{{{shorten(name)}}} stands in {place.value}, and its value brings quotes of its own"
        found.add(("command",), message, _HINTS[place].format(name))


def _check_script(command: list[str], numbers: set[str], found: Collector) -> None:
    """`[bash, -c, "... {name}"]`: values in lists are not quoted, and the shell would run them."""
    number = _script(command)
    if number is None:
        return
    for name in placeholders(command[number]):
        if name not in numbers:
            hint = (
                "write the command as text, where values are quoted, or pass it on as a word after the script"
            )
            message = (
                f"{{{shorten(name)}}} stands in a script, and the shell would read its value as commands"
            )
            found.add(("command", number), message, hint)


def _script(command: list[str]) -> int | None:
    """The index of the text that a list gives to a shell with `-c`."""
    if not command or command[0].rpartition("/")[2] not in _SHELLS:
        return None
    at, given = 1, False
    while at < len(command) and command[at][:1] in ("-", "+"):
        letters = "" if command[at].startswith("--") else command[at][1:]
        given |= "c" in letters
        at += 2 if letters.endswith("o") else 1  # the word after -o is its value
    return at if given and at < len(command) else None


def check_sizes(spec: JobSpec, found: Collector) -> None:
    """Words and variables longer than Linux gives a process: the engine would say "argument list too long".

    Nothing is filled in for that: a long value at a hundred thousand places would fill the memory.
    """
    total = 0
    for path, size in _sizes(spec):
        total += size
        if size > MOST_TEXT:
            found.add(path, f"has {size:,} bytes as a process gets it, more than {MOST_TEXT:,}", _LONG)
    if total > _MOST and not found.problems:
        found.add((), f"command, params and env have {total:,} bytes together, more than {_MOST:,}", _LONG)


def _sizes(spec: JobSpec) -> Iterator[tuple[KeyPath, int]]:
    """What becomes one word or one variable, in bytes."""
    texts = {name: text_of(value) for name, value in spec.params.items()} | {"seed": str(spec.seed)}
    if isinstance(spec.command, str):
        sizes = {name: len(shlex.quote(text).encode()) for name, text in texts.items()}
        yield ("command",), filled_size(spec.command, sizes)
    else:
        sizes = {name: len(text.encode()) for name, text in texts.items()}
        for number, word in enumerate(spec.command):
            yield ("command", number), filled_size(word, sizes)
    yield ("params",), len(f"{_VARIABLE}=") + len(canonical_json(spec.params))
    for name, value in spec.env.items():
        yield ("env", name), len(f"{name}={value}".encode())


def warnings(
    command: str | tuple[str, ...], params: Iterable[str], env: Mapping[str, str], files: Iterable[bytes]
) -> tuple[str, ...]:
    """Probable mistakes: parameters that nothing reads, placeholders where nothing is filled in.

    Each is noted with the run, so of very many the first are told, and how many more there are.
    """
    notes = _mistakes(command, set(params), env, files)
    if len(notes) > _NOTES:
        notes[_NOTES:] = [f"and {len(notes) - _NOTES:,} more parameters and placeholders like these"]
    return tuple(notes)


def _mistakes(
    command: str | tuple[str, ...], names: set[str], env: Mapping[str, str], files: Iterable[bytes]
) -> list[str]:
    known = names | {"seed"}
    notes = [
        f"env.{name}: {{{found}}} stays as it is there: placeholders are filled in the command only"
        for name, value in sorted(env.items())
        for found in placeholders(value)
        if found in known
    ]
    words = (command,) if isinstance(command, str) else command
    notes += [
        f"command: {found[0]} stays as it is: a placeholder is a name alone, {{{found[1]}}}"
        for word in words
        for found in _FORMATTED.finditer(word)
        if found[1] in known
    ]
    left = sorted(names - set(placeholders(command)))
    if not left or any(_VARIABLE in word for word in (*words, *env.values())):
        return notes
    if not any(_VARIABLE.encode() in data for data in files):
        notes += [
            f"nothing reads the parameter {name}: the command has no {{{name}}}, and no file of the source "
            f"names {_VARIABLE}, the variable with all of them"
            for name in left
        ]
    return notes
