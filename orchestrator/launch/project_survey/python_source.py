"""Python files as syntax trees: parsed, never executed; and what in them is a constant."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

_NODES: WeakKeyDictionary[ast.AST, list[ast.AST]] = WeakKeyDictionary()
_OUTER: WeakKeyDictionary[ast.AST, list[ast.AST]] = WeakKeyDictionary()
_INNER = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
# As in PEP 263: on the first line, or on the second below an empty one or a comment.
_DECLARED = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:[ \t\f]*(?:#[^\r\n]*)?\r?\n)?[ \t\f]*#[^\r\n]*?coding[:=][ \t]*[-\w.]"
)
_DEPTH = 40  # of an expression that is computed
_LARGE = 1 << 62
_OPERATORS = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
}


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""The value of an expression that only running the script would give."""


def parse_python(data: bytes | None) -> ast.Module | None:
    """The tree; None for no file, and for one that this Python's parser refuses.

    Bytes, because a file may say on its first lines in which encoding it is written.
    """
    found = None if data is None else _parsed(data)
    return found if isinstance(found, ast.Module) else None


def parse_refusal(data: bytes) -> tuple[int | None, str]:
    """The line (from 1, where the parser knows it) and the reason, of a file that has no tree."""
    found = _parsed(data)
    if isinstance(found, ast.Module):
        return None, "the project's other files were read first, and took all that is parsed"
    if isinstance(found, SyntaxError):
        return found.lineno or None, found.msg
    return None, "nested too deeply" if isinstance(found, RecursionError | MemoryError) else str(found)


def undeclared_encoding(data: bytes) -> tuple[int, int] | None:
    """Line and byte of the first letter that is not UTF-8, where no line says another encoding.

    The parser passes over such a byte in a comment; `python FILE` does not.
    """
    if _DECLARED.match(data) is not None:
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return data.count(b"\n", 0, error.start) + 1, data[error.start]
    return None


def _parsed(data: bytes) -> ast.Module | Exception:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the script's own escapes
            return ast.parse(data)
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError) as error:
        return error


def nodes_of(tree: ast.AST) -> Sequence[ast.AST]:
    """All nodes below the top of a tree, in the order of `ast.walk`.

    They are walked once: a megabyte of Python has half a million, and many readers ask for some of them.
    """
    found = _NODES.get(tree)
    if found is None:
        found = _NODES[tree] = children_of(tree)
        for node in found:  # which grows
            found += children_of(node)
    return found


def outer_nodes_of(tree: ast.Module) -> Sequence[ast.AST]:
    """Nodes outside of functions and classes; these themselves are among them, what is in them is not."""
    found = _OUTER.get(tree)
    if found is None:
        found = _OUTER[tree] = [*tree.body]
        for node in found:  # which grows
            if not isinstance(node, _INNER):
                found += children_of(node)
    return found


def children_of(node: ast.AST) -> list[ast.AST]:
    """The nodes right below, without the operators and `Load`s, which are shared and say nothing."""
    below: list[ast.AST] = []
    for value in node.__dict__.values():
        if isinstance(value, list):
            below += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST) and value._fields:
            below.append(value)
    return below


def constant(node: ast.expr | None, names: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """A number, text, true or false, None, or a list of these; else UNKNOWN. `names` are known constants."""
    if depth > _DEPTH:
        return UNKNOWN
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.Name(id=name):
            return (names or {}).get(name, UNKNOWN)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=inner):
            number = constant(inner, names, depth + 1)
            if not is_number(number):
                return UNKNOWN
            return -number if isinstance(sign, ast.USub) else number
        case ast.BinOp(left=left, op=operator, right=right):
            return _computed(operator, constant(left, names, depth + 1), constant(right, names, depth + 1))
        case ast.List(elts=items) | ast.Tuple(elts=items):
            values = [constant(item, names, depth + 1) for item in items]
            return UNKNOWN if any(value is UNKNOWN for value in values) else values
        case ast.Call(func=function, args=[only], keywords=[]) if dotted_name(function) in _PATHS:
            return constant(only, names, depth + 1)
        case _:
            return UNKNOWN


_PATHS = ("Path", "pathlib.Path", "PosixPath", "pathlib.PosixPath")


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _computed(operator: ast.operator, left: Any, right: Any) -> Any:
    if not (is_number(left) and is_number(right)) or max(abs(left), abs(right)) > _LARGE:
        return UNKNOWN
    if isinstance(operator, ast.Pow) and abs(left) <= 1024 and abs(right) <= 60:
        operator_function: Any = pow
    elif isinstance(operator, ast.LShift) and isinstance(left, int) and 0 <= right <= 60:
        operator_function = lambda a, b: a << b  # noqa: E731
    else:
        operator_function = _OPERATORS.get(type(operator))
    try:
        value: Any = operator_function(left, right) if operator_function else UNKNOWN
    except (ArithmeticError, TypeError, ValueError):
        return UNKNOWN
    return value if is_number(value) and abs(value) <= _LARGE else UNKNOWN


def dotted_name(node: ast.AST) -> str:
    """`torch.nn.Linear` of such an expression; empty for any other."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((item.value for item in call.keywords if item.arg == name), None)


def is_main_guard(node: ast.stmt) -> bool:
    """`if __name__ == "__main__":`"""
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    sides = (node.test.left, *node.test.comparators)
    named = any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
    return named and any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides)


def module_constants(tree: ast.Module) -> dict[str, Any]:
    """Names that a module sets once, in its body itself, to a constant."""
    stored: dict[str, int] = {}
    for name in _stored(tree):
        stored[name] = stored.get(name, 0) + 1
    for node in nodes_of(tree):
        if isinstance(node, ast.Global):
            stored |= dict.fromkeys(node.names, 2)
    found: dict[str, Any] = {}
    for name, value in assignments(tree.body):
        if stored.get(name) == 1:
            found[name] = constant(value, found)
    return {name: value for name, value in found.items() if value is not UNKNOWN}


def _stored(tree: ast.Module) -> Iterator[str]:
    """Each time that a name of the module is set, outside of functions and classes."""
    for node in outer_nodes_of(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def assignments(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr | None]]:
    """`name = value` in a body itself, tuples piece by piece; of `name += value` the value is None."""
    for statement in body:
        match statement:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _pieces(target, value)
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                yield name, value
            case ast.AugAssign(target=ast.Name(id=name)):
                yield name, None


def _pieces(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple | ast.List):
        values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
        same = len(values) == len(target.elts)
        for number, item in enumerate(target.elts):
            if isinstance(item, ast.Name):
                yield item.id, values[number] if same else None


def imported_modules(tree: ast.Module) -> dict[str, int]:
    """Dotted modules that are imported anywhere in a file, with the line; `from .x import y` is `.x`.

    Imports in a `try:` with an `except ImportError` are what the script can do without, and left out.
    """
    found: dict[str, int] = {}
    optional = {
        inner
        for node in nodes_of(tree)
        if isinstance(node, ast.Try) and _forgives_imports(node)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in nodes_of(tree):
        if node in optional:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            found.setdefault("." * node.level + (node.module or ""), node.lineno)
            for alias in node.names:
                dot = "" if node.module is None or (node.level == 0 and not node.module) else "."
                found.setdefault("." * node.level + (node.module or "") + dot + alias.name, node.lineno)
    return found


def _forgives_imports(node: ast.Try) -> bool:
    kinds = {
        dotted_name(kind)
        for handler in node.handlers
        for kind in (handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type])
        if kind is not None
    }
    bare = any(handler.type is None for handler in node.handlers)
    return bare or bool(kinds & {"ImportError", "ModuleNotFoundError", "Exception"})
