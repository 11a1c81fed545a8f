"""The options of scripts whose command line is made from a function: typer and fire."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
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
    annotation_name,
    decorators,
    function_parameters,
    functions_of,
    kind_of_value,
    typed,
    value_of,
)
from orchestrator.launch.project_survey.python_source import (
    UNKNOWN,
    constant,
    dotted_name,
    keyword,
    module_constants,
    nodes_of,
)

Function = ast.FunctionDef | ast.AsyncFunctionDef
_WORD = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*\Z", re.ASCII)  # what fire reads as text


def _calls(tree: ast.Module, *names: str) -> Iterator[ast.Call]:
    return (node for node in nodes_of(tree) if isinstance(node, ast.Call) and dotted_name(node.func) in names)


def read_typer(tree: ast.Module) -> ScriptInterface | None:
    """`typer.run(main)`, or the commands of a `typer.Typer()`."""
    functions, constants = functions_of(tree), module_constants(tree)
    for call in _calls(tree, "typer.run", "run"):
        name = dotted_name(call.args[0]) if call.args else ""
        if name in functions:
            return _typer(functions[name], (), constants)
    commands: dict[str, Function] = {}
    for name, function in functions.items():
        for decorator, decorated in decorators(function):
            if decorator.endswith(".command") and decorated is not None:
                given = constant(decorated.args[0] if decorated.args else keyword(decorated, "name"))
                commands[given if isinstance(given, str) else name.replace("_", "-")] = function
    if not commands:
        return None
    chosen = next(name for name in (*MAIN_COMMANDS, *commands) if name in commands)
    callbacks = any(name.endswith(".callback") for f in functions.values() for name, _ in decorators(f))
    before = (chosen,) if len(commands) > 1 or callbacks else ()
    return _typer(commands[chosen], before, constants)


def _typer(function: Function, before: tuple[str, ...], constants: dict[str, Any]) -> ScriptInterface:
    collector, later = OptionCollector(), OptionCollector()
    for argument, default in function_parameters(function):
        declared = _declared(argument.annotation, default)
        name, kind = argument.arg, annotation_name(argument.annotation)
        value = _default_of(declared, default, constants)
        names = [constant(item) for item in (declared.args if declared is not None else ())]
        long = next((text for text in names if isinstance(text, str) and text.startswith("-")), None)
        flag = long or f"--{name.replace('_', '-')}"
        help_text = constant(keyword(declared, "help"), constants) if declared is not None else ""
        shown = help_text if isinstance(help_text, str) else ""
        positional = declared is not None and dotted_name(declared.func).endswith("Argument")
        if kind == "Context":
            continue
        if positional or (declared is None and default is None):
            if value is None:
                later.add(ScriptOption(name, "{}", None, shown), name.upper())
            else:
                later.leave_out(f"[{name.upper()}]")
        elif "/" in flag or kind == "bool":
            collector.leave_out(flag.partition("/")[0])
        else:
            demanded = declared is not None and value is None and _demands(declared, argument.annotation)
            add_option(collector, name, flag, " ", kind or kind_of_value(value), value, shown, demanded)
    left_out = (*collector.left_out, *later.left_out)
    return ScriptInterface("typer", (*collector.options, *later.options), before, left_out=left_out)


def _declared(annotation: ast.expr | None, default: ast.expr | None) -> ast.Call | None:
    """The `typer.Option(…)` or `typer.Argument(…)` of a parameter: its default, or in its annotation."""
    parts = annotation.slice.elts if _is_annotated(annotation) else []  # type: ignore[union-attr]
    for node in (default, *parts):
        if isinstance(node, ast.Call) and dotted_name(node.func).rpartition(".")[2] in ("Option", "Argument"):
            return node
    return None


def _is_annotated(node: ast.expr | None) -> bool:
    return (
        isinstance(node, ast.Subscript)
        and dotted_name(node.value).endswith("Annotated")
        and isinstance(node.slice, ast.Tuple)
    )


def _default_of(declared: ast.Call | None, default: ast.expr | None, constants: dict[str, Any]) -> Any:
    if declared is None or default is not declared:
        return value_of(default, constants)
    first = declared.args[0] if declared.args else keyword(declared, "default")
    if isinstance(first, ast.Constant) and first.value is ...:
        return None
    return value_of(first, constants)


def _demands(declared: ast.Call, annotation: ast.expr | None) -> bool:
    """Whether an option without a value must be given: `typer.Option(...)`."""
    first = declared.args[0] if declared.args else keyword(declared, "default")
    return isinstance(first, ast.Constant) and first.value is ... and annotation is not None


def add_option(
    collector: OptionCollector,
    name: str,
    flag: str,
    between: str,
    kind: str,
    default: Any,
    shown: str = "",
    demanded: bool = False,
) -> None:
    value = typed(kind, default)
    if name in SEED_NAMES and kind == "int":
        number = None if value is UNKNOWN else value
        collector.add(ScriptOption(name, f"{flag}{between}{{}}", number, shown, (), True), flag)
    elif demanded:
        collector.add(ScriptOption(name, f"{flag}{between}{{}}", None, shown), flag)
    elif value is None or value is UNKNOWN:
        collector.leave_out(flag)
    else:
        between = "=" if looks_like_option(value) else between
        collector.add(ScriptOption(name, f"{flag}{between}{{}}", value, shown), flag)


def read_fire(tree: ast.Module) -> ScriptInterface | None:
    """`fire.Fire(main)`. Of several functions, the one that trains."""
    functions, constants = functions_of(tree), module_constants(tree)
    for call in _calls(tree, "fire.Fire", "Fire"):
        name = dotted_name(call.args[0]) if call.args else ""
        if name in functions:
            return _fire(functions[name], (), constants)
        names = [item for item in MAIN_COMMANDS if item in functions]
        if not call.args and names:
            return _fire(functions[names[0]], (names[0],), constants)
        return ScriptInterface(
            "fire", notes=("fire makes its commands of an object: add yours to the command",)
        )
    return None


def _fire(function: Function, before: tuple[str, ...], constants: dict[str, Any]) -> ScriptInterface:
    collector = OptionCollector()
    for argument, default in function_parameters(function):
        name, value = argument.arg, value_of(default, constants)
        flag, kind = f"--{name}", kind_of_value(value)
        if default is None:
            collector.add(ScriptOption(name, f"{flag}={{}}", None), flag)
        elif kind == "str" and (not _WORD.match(value) or value in ("True", "False", "None")):
            collector.leave_out(flag)  # fire would read a number, a list, a name of Python
        else:
            add_option(collector, name, flag, "=", kind, value)
    return ScriptInterface("fire", tuple(collector.options), before, left_out=tuple(collector.left_out))
