"""The options of a script that reads its command line with click."""

from __future__ import annotations

import ast
import re
from typing import Any

from orchestrator.launch.project_survey.interfaces.argparse_options import MAIN_COMMANDS
from orchestrator.launch.project_survey.interfaces.script_options import (
    SEED_NAMES,
    OptionCollector,
    ScriptInterface,
    ScriptOption,
    looks_like_option,
)
from orchestrator.launch.project_survey.interfaces.typed_defaults import (
    decorators,
    functions_of,
    kind_of_value,
    typed,
)
from orchestrator.launch.project_survey.python_source import (
    UNKNOWN,
    constant,
    dotted_name,
    keyword,
    module_constants,
)

_RANGES = {"IntRange": "int", "FloatRange": "float", "INT": "int", "FLOAT": "float", "STRING": "str"}
_LONG = re.compile(r"--[A-Za-z0-9][A-Za-z0-9_-]*\Z", re.ASCII)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def read_click(tree: ast.Module) -> ScriptInterface | None:
    """None where the script has no command of click."""
    commands, groups = {}, []
    for name, function in functions_of(tree).items():
        for decorator, call in decorators(function):
            last = decorator.rpartition(".")[2]
            if last == "command":
                given = constant(call.args[0] if call is not None and call.args else None)
                shown = given if isinstance(given, str) else name.lower().replace("_", "-")
                commands[shown] = (function, decorator)
            elif last == "group":
                groups.append(name)
    if not commands:
        return None
    chosen = next(name for name in (*MAIN_COMMANDS, *commands) if name in commands)
    function, decorator = commands[chosen]
    before = (chosen,) if decorator.partition(".")[0] in groups else ()
    return _interface(function, before, module_constants(tree))


def _interface(function: Function, before: tuple[str, ...], constants: dict[str, Any]) -> ScriptInterface:
    collector = OptionCollector()
    later = OptionCollector()
    for decorator, call in decorators(function):
        last = decorator.rpartition(".")[2]
        if call is None or last not in ("option", "argument"):
            continue
        names = [constant(item) for item in call.args]
        if names and all(isinstance(name, str) for name in names):
            if last == "option":
                _option(call, names, constants, collector)
            elif _is_demanded(call):
                later.add(ScriptOption(names[-1].lower(), "{}", None), names[-1].upper())
            else:
                later.leave_out(f"[{names[-1].upper()}]")
    left_out = (*collector.left_out, *later.left_out)
    return ScriptInterface("click", (*collector.options, *later.options), before, left_out=left_out)


def _option(call: ast.Call, names: list[str], constants: dict[str, Any], collector: OptionCollector) -> None:
    long = next((name for name in names if _LONG.match(name)), None)
    flag = long or names[0].partition("/")[0]
    own = next((name for name in names if name.isidentifier()), flag.lstrip("-").replace("-", "_")).lower()
    plain = all(item.arg is not None for item in call.keywords)
    several = any(
        keyword(call, name) is not None for name in ("multiple", "nargs", "is_flag", "flag_value", "count")
    )
    odd = any("/" in name for name in names) or not plain or several or keyword(call, "callback") is not None
    if odd and constant(keyword(call, "required")) is not True:
        collector.leave_out(flag)
        return
    default = None if keyword(call, "default") is None else constant(keyword(call, "default"), constants)
    kind, choices = _kind(keyword(call, "type"), default, constants)
    value = default if kind == "bool" and isinstance(default, bool) else typed(kind, default)
    if choices and value not in (None, UNKNOWN, *choices):
        value = UNKNOWN
    help_text = constant(keyword(call, "help"), constants)
    shown = help_text if isinstance(help_text, str) else ""
    if own in SEED_NAMES and kind == "int":
        number = None if value is UNKNOWN else value
        collector.add(ScriptOption(own, f"{flag} {{}}", number, shown, (), True), flag)
    elif constant(keyword(call, "required")) is True and value is None:
        collector.add(ScriptOption(own, f"{flag} {{}}", None, shown, choices), flag)
    elif value is None or value is UNKNOWN:
        collector.leave_out(flag)
    else:
        between = "=" if looks_like_option(value) and flag.startswith("--") else " "
        collector.add(ScriptOption(own, f"{flag}{between}{{}}", value, shown, choices), flag)


def _is_demanded(argument: ast.Call) -> bool:
    """Whether a script cannot do without it: without one of any number of words it can, unless it says so."""
    required = constant(keyword(argument, "required"))
    if keyword(argument, "default") is not None or required is False:
        return False
    return constant(keyword(argument, "nargs")) != -1 or required is True


def _kind(node: ast.expr | None, default: Any, constants: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The type's name, and the choices where it is a click.Choice."""
    if node is None:
        return kind_of_value(default), ()
    if isinstance(node, ast.Call):
        name = dotted_name(node.func).rpartition(".")[2]
        if name == "Choice":
            values = constant(node.args[0] if node.args else None, constants)
            good = isinstance(values, list) and all(isinstance(value, str) for value in values)
            return "str", tuple(values) if good else ()
        return ("str" if name == "Path" and not node.keywords else _RANGES.get(name, "")), ()
    name = dotted_name(node).rpartition(".")[2]
    return _RANGES.get(name, name), ()
