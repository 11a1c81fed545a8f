"""Options of absl's flags, of parsers made from dataclasses, and of scripts that set their own globals."""

from __future__ import annotations

import ast
from typing import Any

from orchestrator.launch.project_survey.interfaces.function_options import add_option
from orchestrator.launch.project_survey.interfaces.script_options import OptionCollector, ScriptInterface
from orchestrator.launch.project_survey.interfaces.typed_defaults import (
    annotation_name,
    kind_of_value,
    value_of,
)
from orchestrator.launch.project_survey.local_modules import LocalModules
from orchestrator.launch.project_survey.python_source import (
    assignments,
    constant,
    dotted_name,
    keyword,
    module_constants,
    nodes_of,
)

_ABSL = {"float": "float", "integer": "int", "string": "str", "enum": "str"}
_DATACLASS_PARSERS = ("HfArgumentParser", "transformers.HfArgumentParser", "tyro.cli")


def read_absl(tree: ast.Module) -> ScriptInterface | None:
    """`flags.DEFINE_float("lr", 0.1, "learning rate")`"""
    collector, constants = OptionCollector(), module_constants(tree)
    found = False
    for node in nodes_of(tree):
        name = dotted_name(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
        if not isinstance(node, ast.Call) or not name.startswith("DEFINE_") or len(node.args) < 2:
            continue
        found, flag = True, constant(node.args[0])
        if isinstance(flag, str):
            kind = _ABSL.get(name.removeprefix("DEFINE_"), "")
            words = constant(node.args[-1]) if len(node.args) > 2 else constant(keyword(node, "help"))
            shown = words if isinstance(words, str) else ""
            add_option(collector, flag, f"--{flag}", "=", kind, constant(node.args[1], constants), shown)
    if not found:
        return None
    return ScriptInterface("absl", tuple(collector.options), left_out=tuple(collector.left_out))


def read_dataclasses(modules: LocalModules, script: str) -> ScriptInterface | None:
    """`HfArgumentParser((Args, …))`, `tyro.cli(Args)`: the fields of the project's own classes."""
    tree = modules.tree(script)
    assert tree is not None  # noqa: S101  (the script has been parsed)
    call = next(
        (n for n in nodes_of(tree) if isinstance(n, ast.Call) and dotted_name(n.func) in _DATACLASS_PARSERS),
        None,
    )
    if call is None or not call.args:
        return None
    tyro = dotted_name(call.func) == "tyro.cli"
    first = call.args[0]
    names = [
        dotted_name(item) for item in (first.elts if isinstance(first, ast.Tuple | ast.List) else [first])
    ]
    collector, notes = OptionCollector(), []
    classes = {
        node.name: (node, module_constants(other))
        for other in modules.reached(script).values()
        for node in other.body
        if isinstance(node, ast.ClassDef)
    }
    for name in names:
        if name in classes:
            _fields(*classes[name], tyro, collector)
        else:
            notes.append(f"the options of {name} stand in a package: add to the command what you need")
    framework = "tyro" if tyro else "HfArgumentParser"
    left_out = tuple(collector.left_out)
    return ScriptInterface(framework, tuple(collector.options), left_out=left_out, notes=tuple(notes))


def _fields(node: ast.ClassDef, constants: dict[str, Any], tyro: bool, collector: OptionCollector) -> None:
    for statement in node.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        name, kind = statement.target.id, annotation_name(statement.annotation)
        flag = f"--{name.replace('_', '-')}" if tyro else f"--{name}"
        default, shown, made = statement.value, "", False
        if isinstance(default, ast.Call) and dotted_name(default.func).rpartition(".")[2] == "field":
            metadata = keyword(default, "metadata")
            for key, item in _pairs(metadata):
                shown = constant(item) if key == "help" and isinstance(constant(item), str) else shown
            made = keyword(default, "default_factory") is not None
            default = keyword(default, "default")
        demanded = default is None and not made
        add_option(collector, name, flag, " ", kind, value_of(default, constants), shown, demanded)


def _pairs(node: ast.expr | None) -> list[tuple[Any, ast.expr]]:
    if not isinstance(node, ast.Dict):
        return []
    return [
        (constant(key), value) for key, value in zip(node.keys, node.values, strict=True) if key is not None
    ]


def read_globals(modules: LocalModules, script: str) -> ScriptInterface | None:
    """`exec(open("configurator.py").read())`, which sets the script's globals from `--name=value`."""
    tree = modules.tree(script)
    assert tree is not None  # noqa: S101  (the script has been parsed)
    for number, statement in enumerate(tree.body):
        if _reads_configurator(statement, modules):
            collector, known = OptionCollector(), module_constants(tree)
            for name, value in assignments(tree.body[:number]):
                default = constant(value, known)
                if kind_of_value(default) in ("int", "float", "str") and not name.startswith("_"):
                    _take_global(name, default, collector)
                elif kind_of_value(default) == "bool":
                    collector.leave_out(f"--{name}={not default}")
            left_out = tuple(collector.left_out)
            return ScriptInterface("its own globals", tuple(collector.options), left_out=left_out)
    return None


def _take_global(name: str, default: Any, collector: OptionCollector) -> None:
    """A value is read as Python's literal, and must have the type of the default."""
    if isinstance(default, str) and _is_literal(default):
        collector.leave_out(f"--{name}=…")
        return
    add_option(collector, name, f"--{name}", "=", kind_of_value(default), default)


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return False
    return True


def _reads_configurator(statement: ast.stmt, modules: LocalModules) -> bool:
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return False
    if dotted_name(statement.value.func) != "exec":
        return False
    named = [
        node.value
        for node in ast.walk(statement)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".py")
    ]
    texts = [modules.files.text(name.removeprefix("./")) or "" for name in named]
    return any("sys.argv" in text and "globals()" in text for text in texts)
