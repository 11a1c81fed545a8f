"""The options of a script that reads its command line with argparse."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.launch.project_survey.interfaces.parser_walk import FoundParser, ParserCall, ParserWalk
from orchestrator.launch.project_survey.interfaces.script_options import (
    SEED_NAMES,
    OptionCollector,
    ScriptInterface,
    ScriptOption,
    looks_like_option,
)
from orchestrator.launch.project_survey.local_modules import LocalModules
from orchestrator.launch.project_survey.python_source import (
    UNKNOWN,
    constant,
    dotted_name,
    is_number,
    keyword,
)

MAIN_COMMANDS = ("train", "fit", "run", "main")
"""Which command of several is meant where the script has some."""

_FLAG = re.compile(r"--?[A-Za-z0-9][A-Za-z0-9_.-]*\Z", re.ASCII)
_POSITIONAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z", re.ASCII)
_SILENT = ("help", "version")


@dataclass(frozen=True)
class _Argument:
    """A call of `add_argument`, taken apart."""

    flags: tuple[str, ...]
    dest: str
    action: str
    type: ast.expr | None
    default: Any
    is_path: bool  # the default is a Path(…)
    nargs: Any
    choices: Any
    required: bool
    help: str
    usable: bool  # added always, in no exclusive group, every keyword is seen
    functions: Any

    @property
    def flag(self) -> str:
        """As people type it: the first long one."""
        return next((flag for flag in self.flags if flag.startswith("--")), self.flags[0])

    @property
    def type_name(self) -> str:
        return dotted_name(self.type) if self.type is not None else ""


def read_argparse(modules: LocalModules, script: str, function: str | None) -> ScriptInterface | None:
    """None where the script, or a function of it that is called, makes no parser of argparse."""
    walk = ParserWalk(modules)
    walk.run(script, function)
    roots = [parser for parser in walk.parsers if not parser.sub]
    if not roots:
        return None
    parser = _reading(roots)
    if parser is None:
        return ScriptInterface("argparse", notes=(_unclear(roots),))
    return _interface(parser)


def _reading(roots: list[FoundParser]) -> FoundParser | None:
    """The parser that refuses what it does not know, else the only one that reads the command line."""
    strict = [parser for parser in roots if parser.strict]
    lenient = [parser for parser in roots if parser.lenient]
    for group in (strict, lenient):
        if len(group) == 1:
            return group[0]
        if group:
            return None
    # Nothing that was followed reads the command line: something out of sight may.
    return roots[0] if len(roots) == 1 and roots[0].arguments and not roots[0].fixed else None


def _unclear(roots: list[FoundParser]) -> str:
    if any(parser.strict or parser.lenient for parser in roots):
        return "several parsers of the script read the command line: add options to the command yourself"
    return "its parser reads no command line here: the script's own defaults hold"


def _interface(parser: FoundParser, before: tuple[str, ...] = ()) -> ScriptInterface:
    collector = OptionCollector()
    opaque = parser.opaque or any(parent.opaque for parent in parser.parents)
    arguments, defaults = _all_arguments(parser), _all_defaults(parser)
    dests = [argument.dest for argument in arguments]
    command = _main_command(parser)
    for argument in (item for item in arguments if item.flags[0].startswith("-")):
        alone = dests.count(argument.dest) == 1
        usable = argument.usable and alone and not opaque and (command is None or argument.required)
        _take(argument, _default(argument, defaults), usable, collector)
    if command is not None:
        inner = _interface(parser.commands[command], (*before, command))
        if any(option.value is None for option in collector.options):
            return ScriptInterface("argparse", notes=("options before a subcommand are demanded: add them",))
        before_it = ", ".join([*(option.name for option in collector.options), *collector.left_out][:20])
        note = f"before the word {command} it takes {before_it}, too: its own defaults hold"
        return replace(inner, notes=(*inner.notes, note)) if before_it else inner
    _take_positionals([item for item in arguments if not item.flags[0].startswith("-")], collector)
    notes = ("its parser's options change as it runs: they are not parameters",) if opaque else ()
    return ScriptInterface(
        "argparse", tuple(collector.options), before, left_out=tuple(collector.left_out), notes=notes
    )


def _main_command(parser: FoundParser) -> str | None:
    return next((name for name in (*MAIN_COMMANDS, *parser.commands) if name in parser.commands), None)


def _lineage(parser: FoundParser) -> list[FoundParser]:
    """The parser behind its parents, theirs before them; each once, however often it is named."""
    found: dict[int, FoundParser] = {}

    def follow(one: FoundParser, depth: int) -> None:
        for parent in one.parents if depth < 10 else ():
            if id(parent) not in found and parent is not parser:
                follow(parent, depth + 1)
        found.setdefault(id(one), one)

    follow(parser, 0)
    return list(found.values())


def _all_arguments(parser: FoundParser) -> list[_Argument]:
    calls = (call for one in _lineage(parser) for call in one.arguments)
    return [item for call in calls if (item := _argument(call)) is not None]


def _all_defaults(parser: FoundParser) -> dict[str, ast.expr]:
    return {name: value for one in _lineage(parser) for name, value in one.defaults.items()}


def _argument(found: ParserCall) -> _Argument | None:
    call, known = found.call, found.constants
    flags = [constant(item, known) for item in call.args]
    if not flags or not all(isinstance(flag, str) for flag in flags):
        return None
    good = all(_FLAG.match(flag) or (len(flags) == 1 and _POSITIONAL.match(flag)) for flag in flags)
    if not good:
        return None
    long = next((flag for flag in flags if flag.startswith("--")), flags[0])
    dest = constant(keyword(call, "dest"), known) if keyword(call, "dest") is not None else None
    if not isinstance(dest, str):
        dest = long.lstrip("-").replace("-", "_") if long.startswith("-") else long
    default, action = keyword(call, "default"), keyword(call, "action")
    name = constant(action, known) if action is not None else "store"
    plain = all(item.arg is not None for item in call.keywords)
    return _Argument(
        flags=tuple(flags),
        dest=dest,
        action=name if isinstance(name, str) else "other",
        type=keyword(call, "type"),
        default=None if default is None else constant(default, known),
        is_path=isinstance(default, ast.Call),
        nargs=None if keyword(call, "nargs") is None else constant(keyword(call, "nargs"), known),
        choices=None if keyword(call, "choices") is None else constant(keyword(call, "choices"), known),
        required=constant(keyword(call, "required")) is True,
        help=_text(constant(keyword(call, "help"), known)),
        usable=found.always and not found.exclusive and plain,
        functions=found.functions,
    )


def _text(value: Any) -> str:
    return value.replace("%(default)s", "…").replace("%%", "%") if isinstance(value, str) else ""


def _default(argument: _Argument, defaults: dict[str, ast.expr]) -> Any:
    if argument.dest in defaults:
        return constant(defaults[argument.dest])
    return argument.default


def _take(argument: _Argument, default: Any, usable: bool, collector: OptionCollector) -> None:
    """An option that begins with a dash."""
    typed = argument.flag
    if argument.action in _SILENT:
        return
    takes_value = argument.action == "store" and argument.nargs in (None, "?")
    seeds = argument.dest.lower() in SEED_NAMES and argument.type_name == "int" and argument.choices is None
    value = as_typed(argument, default)
    if takes_value and usable and seeds:
        number = value if value is not UNKNOWN else None
        collector.add(ScriptOption(argument.dest, f"{typed} {{}}", number, argument.help, (), True), typed)
    elif argument.required and argument.action == "store":
        shown = None if value is UNKNOWN or not takes_value else value
        collector.add(_option(argument, typed, shown), typed)
    elif takes_value and usable and value is not UNKNOWN and value is not None:
        collector.add(_option(argument, typed, value), typed)
    else:
        collector.leave_out(typed)


def _option(argument: _Argument, typed: str, value: Any) -> ScriptOption:
    between = "=" if looks_like_option(value) else " "
    return ScriptOption(argument.dest, f"{typed}{between}{{}}", value, argument.help, _choices(argument))


def _take_positionals(arguments: list[_Argument], collector: OptionCollector) -> None:
    """In their order: behind one that is left out none can be written."""
    skipped = False
    for argument in arguments:
        typed = argument.dest.upper()
        takes = argument.action in ("store", "append", "extend")
        needed = takes and (argument.nargs in (None, "+", UNKNOWN) or isinstance(argument.nargs, int))
        value = None if needed else as_typed(argument, argument.default)
        if needed:
            collector.add(ScriptOption(argument.dest, "{}", None, argument.help, _choices(argument)), typed)
        elif (
            argument.nargs == "?" and argument.usable and not skipped and isinstance(value, str | int | float)
        ):
            if looks_like_option(value):
                skipped = True
                collector.leave_out(f"[{typed}]")
            else:
                option = ScriptOption(argument.dest, "{}", value, argument.help, _choices(argument))
                collector.add(option, typed)
        else:
            skipped = True
            collector.leave_out(f"[{typed}]")


def _choices(argument: _Argument) -> tuple[str, ...]:
    if not isinstance(argument.choices, list) or len(argument.choices) > 20:
        return ()
    return tuple(str(item) for item in argument.choices)


def as_typed(argument: _Argument, default: Any) -> Any:
    """The default as a parameter whose text the parser reads back as the same; else UNKNOWN."""
    value = _converted(argument, default)
    if isinstance(argument.choices, list) and value is not UNKNOWN and value not in argument.choices:
        return UNKNOWN
    return value


def _converted(argument: _Argument, default: Any) -> Any:
    name = argument.type_name.rpartition(".")[2]
    if default is None or default is UNKNOWN or isinstance(default, list):
        return None if default is None else UNKNOWN
    if argument.is_path and name != "Path":
        return UNKNOWN  # a Path becomes text
    if argument.type is None or name == "str":
        return default if isinstance(default, str) else UNKNOWN
    if name in ("int", "float"):
        return _as_number(int if name == "int" else float, default)
    if name in ("bool", "FileType", "open") or isinstance(argument.type, ast.Call):
        return UNKNOWN
    if isinstance(default, bool):
        return default if _reads_true(argument) else UNKNOWN
    return default if isinstance(default, str) else UNKNOWN  # argparse gives text to the type by itself


def _as_number(kind: type, default: Any) -> Any:
    if isinstance(default, str):
        try:
            return kind(default)
        except (ValueError, OverflowError):
            return UNKNOWN
    if not is_number(default) or (kind is int and isinstance(default, float)):
        return UNKNOWN
    value = kind(default)
    return value if value == default else UNKNOWN


def _reads_true(argument: _Argument) -> bool:
    """Whether a function that makes booleans of text knows `true` and `false`."""
    if argument.type is None:
        return False
    if any(dotted_name(node).endswith("strtobool") for node in ast.walk(argument.type)):
        return True
    function = getattr(argument.functions.get(argument.type_name), "node", None)
    words = {
        item.value.lower()
        for item in (ast.walk(function) if function is not None else ())
        if isinstance(item, ast.Constant) and isinstance(item.value, str)
    }
    return "true" in words
