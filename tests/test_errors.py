"""What an error of Reprise says."""

from __future__ import annotations

import ast
from pathlib import Path

import orchestrator
from orchestrator import errors
from orchestrator.errors import InfrastructureError

PACKAGE = Path(orchestrator.__path__[0])
OF_THE_BOX = {
    name
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, InfrastructureError)
}


def without_a_hint(tree: ast.AST) -> list[int]:
    """Lines where an error of the disk or of a program becomes one of ours that says no way out."""
    return [
        raised.lineno
        for handler in ast.walk(tree)
        if isinstance(handler, ast.ExceptHandler) and handler.type and "OSError" in ast.unparse(handler.type)
        for raised in ast.walk(handler)
        if isinstance(raised, ast.Raise)
        and isinstance(raised.exc, ast.Call)
        and ast.unparse(raised.exc.func) in OF_THE_BOX
        and len(raised.exc.args) + len(raised.exc.keywords) < 2
    ]


def test_an_error_of_the_box_says_how_to_mend_it() -> None:
    found = {str(path): without_a_hint(ast.parse(path.read_bytes())) for path in PACKAGE.rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_one_that_says_nothing_is_seen() -> None:
    text = "try:\n    open(1)\nexcept (OSError, ValueError) as error:\n    raise StoreError(f'{error}')"
    assert without_a_hint(ast.parse(text)) == [4]
    assert without_a_hint(ast.parse(text.replace("')", "', 'do this')"))) == []
