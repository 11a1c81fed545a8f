"""The options of a script that hydra gives its configuration: what its YAML file says, as overrides."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from orchestrator.launch.project_survey.interfaces.script_options import (
    SEED_NAMES,
    OptionCollector,
    ScriptInterface,
    ScriptOption,
)
from orchestrator.launch.project_survey.interfaces.typed_defaults import decorators
from orchestrator.launch.project_survey.project_files import ProjectFiles
from orchestrator.launch.project_survey.python_source import constant, keyword, nodes_of
from orchestrator.spec.jobfile.problems import SpecError
from orchestrator.spec.jobfile.strict_yaml import YamlNode, read_yaml

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_WORD = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*\Z", re.ASCII)  # text that an override says without quotes
_NOT_TEXT = frozenset({"true", "false", "null", "yes", "no", "on", "off", "nan", "inf"})
_PACKAGE = re.compile(r"\s*#\s*@package\s+([\w.]+)")
MAX_DEPTH = 8

# hydra makes a folder that is named by the moment: a rerun's would have another name.
_IN_PLACE = ("hydra.run.dir=.",)
_LOGS = ("*.log",)


def read_hydra(files: ProjectFiles, script: str, tree: ast.Module) -> ScriptInterface | None:
    """None where no function is decorated with `hydra.main`."""
    call = next(
        (
            call
            for node in nodes_of(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for name, call in decorators(node)
            if name == "hydra.main" and call is not None
        ),
        None,
    )
    if call is None:
        return None
    named = [*call.args, None, None]
    place = constant(keyword(call, "config_path") or named[0])
    name = constant(keyword(call, "config_name") or named[1])
    folder = _folder(script, place)
    text = _config(files, folder, name)
    if text is None:
        note = "its configuration was not found: add overrides to the command"
        return ScriptInterface("hydra", after=_IN_PLACE, notes=(note,), volatile=_LOGS)
    collector = OptionCollector()
    root = _mapping(text)
    if root is not None:
        defaults = root.value.get("defaults")
        later = _set_later(files, folder, defaults)
        for path, value in _values(root, ""):
            if any(path == key or f"{path}.".startswith(f"{key}.") or not key for key in later):
                collector.leave_out(path)
            else:
                _take(path, value, collector)
        _groups(defaults, collector)
    left_out = tuple(f"{name}=…" for name in collector.left_out)
    return ScriptInterface(
        "hydra", tuple(collector.options), after=_IN_PLACE, left_out=left_out, volatile=_LOGS
    )


def _folder(script: str, place: object) -> str:
    """The folder of the configuration, as seen from the project's."""
    folder = script.rpartition("/")[0]
    for part in place.split("/") if isinstance(place, str) else ():
        if part == "..":
            folder = folder.rpartition("/")[0]
        elif part not in ("", "."):
            folder = f"{folder}/{part}" if folder else part
    return folder


def _config(files: ProjectFiles, folder: str, name: object) -> str | None:
    if not isinstance(name, str):
        return None
    stem = f"{folder}/{name}" if folder else name
    found = (f"{stem.removesuffix('.yaml')}.yaml", f"{stem.removesuffix('.yml')}.yml")
    return next((text for path in found if (text := files.text(path)) is not None), None)


def _mapping(text: str) -> YamlNode | None:
    try:
        root, _ = read_yaml(text, "config")
    except SpecError:
        return None
    return root if root is not None and isinstance(root.value, dict) else None


def _set_later(files: ProjectFiles, folder: str, defaults: YamlNode | None) -> set[str]:
    """Dotted keys that files behind `_self_` among the defaults may set once more: their values hold, and an
    override would undo that. The empty key stands for all.
    """
    items = defaults.value if defaults is not None and isinstance(defaults.value, list) else []
    place = next((at for at, item in enumerate(items) if item.value == "_self_"), len(items))
    found: set[str] = set()
    for item in items[place + 1 :]:
        chosen = item.value if isinstance(item.value, dict) else {item.value: None}
        for key, node in chosen.items():
            group, _, package = str(key).rpartition(" ")[2].partition("@")  # `override a/b@c: d`
            name = group if node is None else f"{group}/{node.value}"
            package = package or (group if node is not None else group.rpartition("/")[0]).replace("/", ".")
            found |= _keys_of(_config(files, folder, name), package) if node is None or node.value else set()
    return found


def _keys_of(text: str | None, package: str) -> set[str]:
    """The keys that a file of configuration sets; its package as a whole where that cannot be told."""
    first = _PACKAGE.match(text or "")
    if first is not None:
        package = "" if first[1] == "_global_" else first[1]
    root = _mapping(text) if text is not None else None
    if root is None or "defaults" in root.value:
        return {package}
    return {f"{package}.{path}" if package else path for path, _ in _values(root, "")}


def _values(node: YamlNode, above: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values, in the order of the file."""
    for key, item in node.value.items():
        path = f"{above}.{key}" if above else key
        if not _KEY.match(key) or path in ("defaults", "hydra"):
            continue
        if isinstance(item.value, dict) and depth < MAX_DEPTH:
            yield from _values(item, path, depth + 1)
        else:
            yield path, item.value


def _take(path: str, value: Any, collector: OptionCollector) -> None:
    written = f"{path}={{}}"
    if path.rpartition(".")[2] in SEED_NAMES and (value is None or type(value) is int):
        collector.add(ScriptOption(path, written, value, "", (), True), path)
    elif value == "???":
        collector.add(ScriptOption(path, written, None), path)
    elif isinstance(value, bool | int | float) or (isinstance(value, str) and _is_word(value)):
        collector.add(ScriptOption(path, written, value), path)
    else:
        collector.leave_out(path)


def _is_word(text: str) -> bool:
    return _WORD.match(text) is not None and text.lower() not in _NOT_TEXT


def _groups(defaults: YamlNode | None, collector: OptionCollector) -> None:
    """`- model: resnet` among the defaults: a group of configurations, one of which is chosen."""
    for item in defaults.value if defaults is not None and isinstance(defaults.value, list) else ():
        for key, chosen in item.value.items() if isinstance(item.value, dict) else ():
            if _KEY.match(key) and isinstance(chosen.value, str) and _is_word(chosen.value):
                collector.add(ScriptOption(key, f"{key}={{}}", chosen.value), key)
