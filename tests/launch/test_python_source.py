"""Syntax trees, walked once for all who read them."""

from __future__ import annotations

import ast
import gc
from pathlib import Path
from weakref import ref

import pytest

from orchestrator.launch.project_survey.python_source import nodes_of, outer_nodes_of, parse_python

HERE = Path(__file__).parent
SOURCES = [HERE / "test_project_survey.py", HERE / "test_interfaces.py", Path(__file__)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_nodes_are_those_that_ast_walks_in_its_order(path: Path) -> None:
    tree = parse_python(path.read_bytes())
    assert tree is not None
    shared = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)
    walked = [node for node in ast.walk(tree) if node is not tree and not isinstance(node, shared)]
    found = [node for node in nodes_of(tree) if not isinstance(node, shared)]
    assert len(found) == len(walked) > 100
    assert all(ours is theirs for ours, theirs in zip(found, walked, strict=True))


def test_what_is_outside_of_functions() -> None:
    tree = parse_python(b"a = f(1)\nif a:\n    b()\ndef g():\n    c()\nclass D:\n    d()\nh = lambda: e()\n")
    assert tree is not None
    called = {
        node.func.id
        for node in outer_nodes_of(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called == {"f", "b"}


def test_a_tree_is_walked_once_and_forgotten_with_its_last_reader() -> None:
    tree = parse_python(b"x = 1\n")
    assert tree is not None
    assert nodes_of(tree) is nodes_of(tree) and outer_nodes_of(tree) is outer_nodes_of(tree)
    gone = ref(tree)
    del tree
    gc.collect()
    assert gone() is None
