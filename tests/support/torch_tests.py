"""Where this Python has no PyTorch, the tests that run it are left to the cpu base, counted and said.

`scripts/test_in_base.sh` runs them there, as a part of `make test`.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

import pytest

HAS_TORCH = importlib.util.find_spec("torch") is not None
_COUNTS = pytest.StashKey[dict[str, int]]()


@functools.cache
def imports_torch(module: Path) -> bool:
    """Whether a module imports torch as soon as it is imported itself."""
    text = module.read_bytes()
    for node in ast.parse(text).body if b"torch" in text else ():
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        if any(name.split(".")[0] == "torch" for name in names):
            return True
    return False


def _counts(config: pytest.Config) -> dict[str, int]:
    return config.stash.setdefault(_COUNTS, {"tests": 0, "files": 0})


class _LeftFile(pytest.Module):
    """A file that cannot be imported without torch: it has no tests here."""

    def collect(self) -> list[pytest.Item]:
        _counts(self.config)["files"] += 1
        return []


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    left = not HAS_TORCH and imports_torch(module_path)
    return _LeftFile.from_parent(parent, path=module_path) if left else None


def pytest_itemcollected(item: pytest.Item) -> None:
    module = item.getparent(pytest.Module)
    if HAS_TORCH and module is not None and imports_torch(module.path):
        item.add_marker("torch")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if HAS_TORCH:
        return
    left = [item for item in items if item.get_closest_marker("torch")]
    _counts(config)["tests"] += len(left)
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if not item.get_closest_marker("torch")]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of several processes: the first of them tells the user
        session.config.workeroutput["left_to_the_base"] = _counts(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Each process collects everything, so the counts of one are those of all."""
    output = getattr(node, "workeroutput", {})
    if "left_to_the_base" in output:
        _counts(node.config).update(output["left_to_the_base"])  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = _counts(config)
    if any(counts.values()):
        terminalreporter.write_line(
            f"not run here, since this Python has no PyTorch: {counts['tests']} tests, and "
            f"{counts['files']} whole files. `make test` runs them inside the cpu base."
        )
