"""Which of the command-line libraries a script uses, and what its options are."""

from __future__ import annotations

import ast

from orchestrator.launch.project_survey.entry_point import EntryPoint
from orchestrator.launch.project_survey.interfaces.argparse_options import read_argparse
from orchestrator.launch.project_survey.interfaces.click_options import read_click
from orchestrator.launch.project_survey.interfaces.flag_options import (
    read_absl,
    read_dataclasses,
    read_globals,
)
from orchestrator.launch.project_survey.interfaces.function_options import read_fire, read_typer
from orchestrator.launch.project_survey.interfaces.hydra_options import read_hydra
from orchestrator.launch.project_survey.interfaces.script_options import ScriptInterface
from orchestrator.launch.project_survey.local_modules import LocalModules
from orchestrator.launch.project_survey.project_files import ProjectFiles
from orchestrator.launch.project_survey.python_source import nodes_of, outer_nodes_of


def read_interface(entry: EntryPoint, files: ProjectFiles) -> ScriptInterface:
    """The script's options; none where it reads no command line that was understood."""
    tree = entry.modules.tree(entry.script)
    if tree is None:
        return ScriptInterface("")
    script, tree = _definer(entry.modules, entry.script, tree, entry.function)
    libraries = {name.split(".")[0] for name in entry.modules.imports(script)}
    found: ScriptInterface | None = None
    if "hydra" in libraries:
        found = read_hydra(files, script, tree)
    if found is None and "typer" in libraries:
        found = read_typer(tree)
    if found is None and "click" in libraries:
        found = read_click(tree)
    if found is None and "fire" in libraries:
        found = read_fire(tree)
    if found is None and "absl" in libraries:
        found = read_absl(tree)
    if found is None:
        found = read_dataclasses(entry.modules, script) or read_globals(entry.modules, script)
    return found or read_argparse(entry.modules, entry.script, entry.function) or ScriptInterface("")


def _definer(
    modules: LocalModules, script: str, tree: ast.Module, function: str | None
) -> tuple[str, ast.Module]:
    """The file whose command line it is: of `from .cli import main; main()`, the one that has `main`."""
    for _ in range(5):
        called = {function} if function is not None else _called_at_start(tree)
        found = next(
            (
                (node, alias)
                for node in nodes_of(tree)
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
                if (alias.asname or alias.name) in called
            ),
            None,
        )
        if found is None:
            break
        node, alias = found
        there = modules.find("." * node.level + (node.module or ""), script)
        other = modules.tree(there) if there is not None else None
        if there is None or other is None:
            break
        script, tree, function = there, other, alias.name
    return script, tree


def _called_at_start(tree: ast.Module) -> set[str | None]:
    """Names that the module's own body calls, outside of functions and classes."""
    return {
        node.func.id
        for node in outer_nodes_of(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
