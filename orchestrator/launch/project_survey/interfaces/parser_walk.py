"""Follows a script's argument parsers through its functions, classes and modules, without running any of it.

Every function is followed where it is called, once for each parser that it is given. Names stand for parsers,
groups, functions, classes and objects; everything else stands for nothing.
"""

from __future__ import annotations

import ast
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.launch.project_survey.local_modules import LocalModules
from orchestrator.launch.project_survey.python_source import (
    constant,
    dotted_name,
    is_main_guard,
    keyword,
    module_constants,
)

MAX_STEPS = 100_000  # statements and expressions
MAX_DEPTH = 120  # calls and expressions in one another
_PARSERS = ("ArgumentParser", "argparse.ArgumentParser")

FILE, MAIN, CONSTANTS = " file", " main", " constants"  # beside the names of a module; no script can set them

Names = ChainMap[str, Any]


@dataclass
class ParserCall:
    """A call of `add_argument`, with what was known where it stands."""

    call: ast.Call
    constants: dict[str, Any]
    functions: Names
    always: bool  # not in an `if` or a loop
    exclusive: bool


@dataclass(eq=False)
class FoundParser:
    created: ast.Call
    arguments: list[ParserCall] = field(default_factory=list)
    defaults: dict[str, ast.expr] = field(default_factory=dict)  # of set_defaults
    parents: list[FoundParser] = field(default_factory=list)
    commands: dict[str, FoundParser] = field(default_factory=dict)
    strict: bool = False  # parse_args reads the command line
    lenient: bool = False  # parse_known_args does
    fixed: bool = False  # it reads words that the script itself gives
    opaque: bool = False  # its options or defaults change as the script runs
    sub: bool = False


@dataclass(eq=False)
class _Group:
    parser: FoundParser
    exclusive: bool


@dataclass(eq=False)
class _Commands:
    parser: FoundParser


@dataclass(eq=False)
class _Function:
    node: ast.FunctionDef | ast.AsyncFunctionDef
    names: Names
    file: str
    owner: Any = None  # the object of a method


@dataclass(eq=False)
class _Class:
    names: Names
    bases: list[Any]
    file: str

    def find(self, name: str, depth: int = 0) -> Any:
        if name in self.names.maps[0]:
            return self.names[name]
        bases = [base for base in self.bases if isinstance(base, _Class)] if depth < 20 else []
        return next((found for base in bases if (found := base.find(name, depth + 1)) is not None), None)


@dataclass(eq=False)
class _Object:
    kind: _Class
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class _Imported:
    module: str
    name: str | None  # None: the module itself


class ParserWalk:
    """After `run`, `parsers` has every parser that the script makes, in the order in which it makes them."""

    def __init__(self, modules: LocalModules) -> None:
        self.parsers: list[FoundParser] = []
        self._modules = modules
        self._known: dict[str, Names] = {}
        self._done: dict[tuple[int, ...], Any] = {}
        self._steps = 0
        self._depth = 0

    def run(self, script: str, function: str | None = None) -> None:
        """As Python runs a script; with `function`, as it imports it and calls that."""
        names = self._module(script, main=function is None)
        found = self._imported(names.get(function), script) if function is not None else None
        if isinstance(found, _Function):
            self._follow(found, [], {}, always=True)

    def _module(self, file: str, main: bool = False) -> Names:
        if file not in self._known:
            self._known[file] = names = ChainMap({FILE: file, MAIN: main})
            tree = self._modules.tree(file)
            if tree is not None:
                names[CONSTANTS] = module_constants(tree)
                self._body(tree.body, names, file, always=True)
        return self._known[file]

    def _body(self, body: Sequence[ast.stmt], names: Names, file: str, always: bool) -> Any:
        """Follow statements; what the first `return` with a known value gives."""
        returned = None
        self._depth += 1
        for statement in body:
            self._steps += 1
            if self._steps > MAX_STEPS or self._depth > MAX_DEPTH:
                break
            found = self._statement(statement, names, file, always)
            returned = returned if returned is not None else found
        self._depth -= 1
        return returned

    def _statement(self, node: ast.stmt, names: Names, file: str, always: bool) -> Any:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                names[node.name] = _Function(node, names, file)
            case ast.ClassDef():
                bases = [self._value(base, names, file, always) for base in node.bases]
                inner = ChainMap({}, names)
                names[node.name] = _Class(inner, bases, file)
                self._body(node.body, inner, file, always)
            case ast.Import(names=aliases):
                for alias in aliases:
                    names[alias.asname or alias.name] = _Imported(alias.name, None)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                for alias in aliases:
                    names[alias.asname or alias.name] = _Imported("." * level + (module or ""), alias.name)
            case ast.Return(value=value):
                return self._value(value, names, file, always)
            case ast.Assign(targets=targets, value=value):
                found = self._value(value, names, file, always)
                for target in targets:
                    self._bind(target, found, names)
            case ast.AnnAssign(target=target, value=value):
                self._bind(target, self._value(value, names, file, always), names)
            case _:
                return self._block(node, names, file, always)
        return None

    def _block(self, node: ast.stmt, names: Names, file: str, always: bool) -> Any:
        """A statement with others in it, or with nothing but expressions."""
        if is_main_guard(node) and not names.get(MAIN):
            return None
        certain = always and (is_main_guard(node) or isinstance(node, ast.With | ast.AsyncWith | ast.Try))
        returned = None
        for name, value in ast.iter_fields(node):
            found = None
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                found = self._body(value, names, file, certain and name in ("body", "finalbody"))
            elif isinstance(value, list) and value and isinstance(value[0], ast.ExceptHandler):
                for handler in value:
                    self._body(handler.body, names, file, always=False)
            elif isinstance(value, list):
                for item in value:
                    self._value(getattr(item, "context_expr", item), names, file, always)
            elif isinstance(value, ast.expr):
                self._value(value, names, file, always)
            returned = returned if returned is not None else found
        return returned

    def _bind(self, target: ast.expr, value: Any, names: Names) -> None:
        if isinstance(target, ast.Name):
            names[target.id] = value
        elif isinstance(target, ast.Attribute):
            owner = names.get(dotted_name(target.value))
            if isinstance(owner, _Object):
                owner.fields[target.attr] = value

    def _value(self, node: object, names: Names, file: str, always: bool) -> Any:
        """What an expression stands for, after the calls in it have been followed."""
        self._steps += 1
        if not isinstance(node, ast.AST) or self._steps > MAX_STEPS or self._depth > MAX_DEPTH:
            return None
        self._depth += 1
        try:
            match node:
                case ast.Name(id=name):
                    return self._imported(names.get(name), file)
                case ast.Attribute(value=inner, attr=attribute):
                    return self._attribute(self._value(inner, names, file, always), attribute, file)
                case ast.Call():
                    return self._call(node, names, file, always)
                case ast.Lambda() | ast.Constant():
                    return None
                case ast.IfExp() | ast.BoolOp():
                    always = False
            for child in ast.iter_child_nodes(node):
                self._value(child, names, file, always)
            return None
        finally:
            self._depth -= 1

    def _imported(self, value: Any, file: str) -> Any:
        if not isinstance(value, _Imported):
            return value
        inner = f"{value.module}.{value.name}".replace("..", ".") if value.name else None
        there = self._modules.find(value.module, file)
        if value.name is None:
            return self._module(there) if there else None
        found = self._module(there).get(value.name) if there else None
        if found is None and inner is not None:  # `from package import module`
            name = inner if not value.module.startswith(".") else f"{value.module.rstrip('.')}.{value.name}"
            name = name if value.module.strip(".") else f"{value.module}{value.name}"
            there = self._modules.find(name, file)
            return self._module(there) if there else None
        return self._imported(found, there or file)

    def _attribute(self, owner: Any, name: str, file: str) -> Any:
        if isinstance(owner, _Object):
            found = owner.fields.get(name) or owner.kind.find(name)
            return _Function(found.node, found.names, found.file, owner) if _is_function(found) else found
        if isinstance(owner, _Class):
            return owner.find(name)
        return self._imported(owner.get(name), owner.get(FILE, file)) if _is_names(owner) else None

    def _call(self, node: ast.Call, names: Names, file: str, always: bool) -> Any:
        given = [self._value(item, names, file, always) for item in node.args]
        named = {item.arg: self._value(item.value, names, file, always) for item in node.keywords}
        if dotted_name(node.func) in _PARSERS:
            return self._new(node, names, file)
        if isinstance(node.func, ast.Attribute):
            owner = self._value(node.func.value, names, file, always)
            if isinstance(owner, FoundParser | _Group | _Commands):
                return self._method(owner, node, names, always)
            function = self._attribute(owner, node.func.attr, file)
        else:
            function = self._value(node.func, names, file, always)
        if isinstance(function, _Class):
            made = _Object(function)
            start = function.find("__init__")
            if isinstance(start, _Function):
                bound = _Function(start.node, start.names, start.file, made)
                self._follow(bound, given, named, always)
            return made
        return self._follow(function, given, named, always) if isinstance(function, _Function) else None

    def _follow(self, function: _Function, given: list[Any], named: dict[Any, Any], always: bool) -> Any:
        if function.owner is not None:
            given = [function.owner, *given]
        key = (id(function.node), *(id(item) for item in given), *(id(item) for item in named.values()))
        if key not in self._done:
            self._done[key] = None
            arguments = function.node.args
            own = {
                item.arg: None for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
            }
            own |= dict(zip(own, given, strict=False))
            own |= {name: value for name, value in named.items() if name in own}
            inner = ChainMap(own, function.names)
            self._done[key] = self._body(function.node.body, inner, function.file, always)
        return self._done[key]

    def _new(self, node: ast.Call, names: Names, file: str) -> FoundParser:
        parents = keyword(node, "parents")
        made = FoundParser(node)
        for item in parents.elts if isinstance(parents, ast.List | ast.Tuple) else ():
            parent = self._value(item, names, file, always=True)
            if isinstance(parent, FoundParser):
                made.parents.append(parent)
        made.opaque = keyword(node, "prefix_chars") is not None or any(
            item.arg is None for item in node.keywords
        )
        self.parsers.append(made)
        return made

    def _method(self, owner: Any, node: ast.Call, names: Names, always: bool) -> Any:
        parser = owner if isinstance(owner, FoundParser) else owner.parser
        exclusive = isinstance(owner, _Group) and owner.exclusive
        assert isinstance(node.func, ast.Attribute)  # noqa: S101  (for mypy)
        constants = _in_force(names)
        match node.func.attr:
            case "add_argument":
                parser.arguments.append(ParserCall(node, constants, names, always, exclusive))
            case "add_argument_group":
                return _Group(parser, exclusive)
            case "add_mutually_exclusive_group":
                return _Group(parser, True)
            case "add_subparsers":
                return _Commands(parser)
            case "add_parser":
                name = constant(node.args[0] if node.args else None, constants)
                made = self._new(node, names, "")
                made.sub = True
                if isinstance(name, str):
                    parser.commands.setdefault(name, made)
                return made
            case "set_defaults":
                if always:
                    parser.opaque |= any(item.arg is None for item in node.keywords)
                    parser.defaults |= {item.arg: item.value for item in node.keywords if item.arg}
            case "parse_args" | "parse_known_args" | "parse_intermixed_args" as method:
                if node.args and _is_literal(node.args[0]) and constant(node.args[0]) is not None:
                    parser.fixed = True
                else:
                    parser.strict |= method != "parse_known_args"
                    parser.lenient |= method == "parse_known_args"
        return None


def _in_force(names: Names) -> dict[str, Any]:
    """The module's constants that no function or class around hides behind a name of its own."""
    known: dict[str, Any] = names.get(CONSTANTS, {})
    inner = names.maps[:-1]
    return {name: value for name, value in known.items() if not any(name in layer for layer in inner)}


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.List | ast.Tuple | ast.Constant)


def _is_function(value: Any) -> bool:
    return isinstance(value, _Function)


def _is_names(value: Any) -> bool:
    return isinstance(value, ChainMap)
