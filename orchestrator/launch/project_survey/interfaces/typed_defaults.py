"""Defaults and annotations as parameters: what click, typer, fire, absl and dataclass parsers have alike."""

from __future__ import annotations

import ast
from typing import Any

from orchestrator.launch.project_survey.python_source import UNKNOWN, constant, dotted_name, is_number

NUMBERS = ("int", "float")


def annotation_name(node: ast.expr | None) -> str:
    """`float` of `float`, `Optional[float]`, `float | None`, `Annotated[float, …]`; empty for others."""
    match node:
        case None:
            return ""
        case ast.Subscript(value=outer, slice=inner):
            outer_name = dotted_name(outer).rpartition(".")[2]
            if outer_name == "Annotated" and isinstance(inner, ast.Tuple) and inner.elts:
                return annotation_name(inner.elts[0])
            return annotation_name(inner) if outer_name == "Optional" else ""
        case ast.BinOp(op=ast.BitOr(), left=left, right=ast.Constant(value=None)):
            return annotation_name(left)
        case ast.Constant(value=str(text)):
            return text if text in ("int", "float", "str", "bool") else ""
    return dotted_name(node).rpartition(".")[2]


def typed(kind: str, default: Any) -> Any:
    """The default as a value whose text becomes that type again; UNKNOWN for any other, None for none."""
    if default is None or default is UNKNOWN:
        return default
    if kind == "float" and is_number(default) and abs(default) < 1 << 53:
        return float(default)
    if kind == "int" and isinstance(default, int) and not isinstance(default, bool):
        return default
    return default if kind in ("str", "Path") and isinstance(default, str) else UNKNOWN


def kind_of_value(default: Any) -> str:
    """The type that a library makes of a default where nothing says another one."""
    names = {bool: "bool", int: "int", float: "float", str: "str"}
    return names.get(type(default), "")


def function_parameters(
    function: ast.FunctionDef | ast.AsyncFunctionDef,
) -> list[tuple[ast.arg, ast.expr | None]]:
    """Parameters that a command line can give, with their defaults' expressions."""
    positional = [*function.args.posonlyargs, *function.args.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(function.args.defaults))
    found = list(zip(positional, [*missing, *function.args.defaults], strict=True))
    found += zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return [(argument, default) for argument, default in found if argument.arg not in ("self", "cls")]


def value_of(default: ast.expr | None, constants: dict[str, Any]) -> Any:
    return None if default is None else constant(default, constants)


def functions_of(tree: ast.Module) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions of a module's body."""
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def decorators(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[str, ast.Call | None]]:
    """Names of decorators, `click.option` or `option`, each with its call if it is one."""
    return [
        (dotted_name(item.func), item) if isinstance(item, ast.Call) else (dotted_name(item), None)
        for item in node.decorator_list
    ]
