"""Finds what a project runs: the script that was named, or the one that its folder is about."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.launch.project_survey.interfaces.script_options import plain_argument
from orchestrator.launch.project_survey.local_modules import LocalModules
from orchestrator.launch.project_survey.project_files import ProjectFiles
from orchestrator.launch.project_survey.python_source import (
    is_main_guard,
    parse_python,
)
from orchestrator.spec.jobfile.short_forms import table_in

_TRAINS = re.compile(r"(?:train|main|run|run_train(?:ing)?|training|experiment)\.py\Z")
_TRAINS_TOO = re.compile(
    r"(?:train|run|finetune|pretrain)_\w+\.py\Z|\w+_train\.py\Z|finetune\.py\Z|pretrain\.py\Z"
)
_NO_JOB = re.compile(r"(?:setup|conftest|noxfile|fabfile|tasks|__init__|test_\w+|\w+_test)\.py\Z")
_TARGET = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<function>[A-Za-z_]\w*)\Z", re.ASCII)
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z", re.ASCII)
_ROOTS = ("", "src", "lib", "source", "python")


@dataclass(frozen=True)
class EntryPoint:
    """What the command begins with, and the file that reads its options."""

    script: str
    words: tuple[str, ...]
    function: str | None  # of the script, where a console script calls it
    paths: tuple[str, ...]  # what Python must find beside the script's own folder
    modules: LocalModules


def find_entry(files: ProjectFiles, script: str | None) -> EntryPoint:
    """`script`: a file of the folder; None: look for one. UsageError: none, or several possible ones."""
    if script is not None:
        return _of_script(files, script)
    at_top = [name for name in files.files_in("") if name.endswith(".py") and not _NO_JOB.match(name)]
    for group in (
        [name for name in ("train.py", "main.py", "run.py") if name in at_top][:1],
        [name for name in at_top if _TRAINS.match(name)],
    ):
        if len(group) == 1:
            return _of_script(files, group[0])
    console = _console_scripts(files)
    if len(console) == 1:
        return _of_console_script(files, console[0])
    for group in (*_packages(files), [name for name in at_top if _TRAINS_TOO.match(name)]):
        if len(group) == 1:
            return _of_script(files, group[0])
    guarded = [name for name in at_top if _has_guard(files, name)]
    for group in (guarded, at_top):
        if len(group) == 1:
            return _of_script(files, group[0])
    raise _none(files, [*at_top, *_packages(files)[1]])


def _none(files: ProjectFiles, candidates: Iterable[str]) -> UsageError:
    shown = sorted(dict.fromkeys(candidates))
    if shown:
        listed = ", ".join(shown[:8]) + (" …" if len(shown) > 8 else "")
        return UsageError(
            f"several scripts of {files.folder} could be the job: {listed}",
            f"name one: reprise init {shown[0]}",
        )
    notebooks = sorted(name for name in files.sizes if name.endswith(".ipynb"))
    if notebooks:
        return notebook_error(notebooks[0])
    return UsageError(
        f"there is no Python script in {files.folder}", "name the script: reprise init path/to/train.py"
    )


def notebook_error(name: str) -> UsageError:
    return UsageError(
        f"{name} is a notebook, and a job runs a script",
        f"export it with `jupyter nbconvert --to script {name}`, then name the .py file that it writes",
    )


def _packages(files: ProjectFiles) -> tuple[list[str], list[str]]:
    """`__main__.py` of packages, and training scripts one or two folders down."""
    mains, scripts = [], []
    for name in sorted(files.sizes):
        folder, _, last = name.rpartition("/")
        inside = folder.removeprefix("src/") if folder != "src" else ""
        if not folder or inside.count("/") > 0 or folder.split("/")[0] in ("tests", "test", "docs"):
            continue
        if last == "__main__.py" and f"{folder}/__init__.py" in files.sizes:
            mains.append(name)
        elif last in ("train.py", "main.py"):
            scripts.append(name)
    return mains, scripts


def _has_guard(files: ProjectFiles, name: str) -> bool:
    data = files.data(name)
    tree = parse_python(data) if data is not None and b"__main__" in data else None
    return tree is not None and any(is_main_guard(node) for node in tree.body)


def _of_script(files: ProjectFiles, script: str) -> EntryPoint:
    folder, _, last = script.rpartition("/")
    modules = LocalModules(files, _roots(files, folder))
    root, module = _package(files, script)
    inside = "." in module and (
        last == "__main__.py"
        or any(
            name.startswith(".") or name.split(".")[0] == module.split(".")[0]
            for name in modules.imports(script)
        )
    )
    if inside and _MODULE.match(module):
        modules = LocalModules(files, _roots(files, "", root))
        words = ("python", "-m", module.removesuffix(".__main__"))
        return EntryPoint(script, words, None, _paths(modules, script, "", root), modules)
    paths = _paths(modules, script, folder)
    return EntryPoint(script, ("python", plain_argument(script)), None, paths, modules)


def _package(files: ProjectFiles, script: str) -> tuple[str, str]:
    """The folder that holds the outermost package around a file, and the file's dotted name from there."""
    folder = script.rpartition("/")[0]
    while folder and f"{folder}/__init__.py" in files.sizes:
        folder = folder.rpartition("/")[0]
    inside = script.removeprefix(f"{folder}/") if folder else script
    return folder, inside.removesuffix(".py").replace("/", ".")


def _roots(files: ProjectFiles, *first: str) -> tuple[str, ...]:
    roots = [*first, *(root for root in _ROOTS if root in files.folders)]
    return tuple(dict.fromkeys(roots))


def _paths(modules: LocalModules, script: str, own: str, needed: str = "") -> tuple[str, ...]:
    """Folders that must be on Python's path, because what the script imports lies there."""
    found = [needed] if needed != own else []
    for file in modules.reached(script):
        for module in modules.imports(file):
            root = modules.root_of(module) if not module.startswith(".") else None
            if root is not None and root != own and modules.find(module, file) is not None:
                found.append(root)
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class _ConsoleScript:
    module: str
    function: str


def _console_scripts(files: ProjectFiles) -> list[_ConsoleScript]:
    """Those of pyproject.toml; only those whose name says so, where some say that they train."""
    project = project_table(files)
    found: dict[str, _ConsoleScript] = {}
    poetry = table_in(table_in(table_in(toml_or_empty(files, "pyproject.toml"), "tool"), "poetry"), "scripts")
    for name, target in (table_in(project, "scripts") | poetry).items():
        match = _TARGET.match(target) if isinstance(target, str) else None
        if match is not None:
            found[name] = _ConsoleScript(match["module"], match["function"])
    training = [script for name, script in found.items() if "train" in name]
    return training if len(training) == 1 else list(found.values())


def _of_console_script(files: ProjectFiles, script: _ConsoleScript) -> EntryPoint:
    modules = LocalModules(files, _roots(files, ""))
    file = modules.find(script.module, "")
    if file is None:
        raise UsageError(
            f"pyproject.toml names the module {script.module}, which is not in {files.folder}",
            "name the script: reprise init path/to/train.py",
        )
    root = modules.root_of(script.module) or ""
    paths = _paths(modules, file, "", root)
    tree = modules.tree(file)
    body: list[ast.stmt] = tree.body if tree is not None else []
    if any(is_main_guard(node) for node in body):
        return EntryPoint(file, ("python", "-m", script.module), None, paths, modules)
    code = f"import sys; from {script.module} import {script.function}; sys.exit({script.function}())"
    return EntryPoint(file, ("python", "-c", code), script.function, paths, modules)


def project_table(files: ProjectFiles) -> dict[str, Any]:
    return table_in(toml_or_empty(files, "pyproject.toml"), "project")


def toml_or_empty(files: ProjectFiles, name: str) -> dict[str, Any]:
    """A TOML file's table; empty where it is absent or not TOML: its real reader says what is wrong."""
    try:
        return tomllib.loads(files.text(name) or "")
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}
