"""An executor says what it is by its interface; no other file of the package names a kind."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import orchestrator
from orchestrator.launch.executors.executor import Executor
from orchestrator.launch.executors.kinds import KINDS

PACKAGE = Path(orchestrator.__path__[0])
# Other meanings of the same words, and the one kind that the record itself knows.
OTHERS = {
    "cli/verbs.py": "a verb",
    "launch/execute/recover.py": "the same verb",
    "launch/workers/worker_loop.py": "the name of a lock",
    "record/run_record.py": "the kind of a run that names none",
    "run/attempt_model.py": "a log driver of Docker's",
}


def test_the_names_of_kinds_stand_only_with_the_executors() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        where = str(path.relative_to(PACKAGE))
        if where.startswith(("launch/executors/", "payload/")):
            continue
        words = (
            node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
        )
        if any(word in KINDS for word in words if isinstance(word, str)):
            found.add(where)
    assert found == OTHERS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_of_the_interface_that_its_line_says(kind: str) -> None:
    interface, name = KINDS[kind]
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert issubclass(found, interface)
    assert interface in Executor.__subclasses__()
    assert found.kind == kind
