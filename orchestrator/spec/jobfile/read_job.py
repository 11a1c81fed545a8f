"""Reads a job file into a JobSpec, or reports every mistake in it with its line."""

from __future__ import annotations

import json
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import UsageError
from orchestrator.spec.jobfile.command_check import check_placeholders, check_sizes, placeholders_in
from orchestrator.spec.jobfile.job_paths import resolve_places
from orchestrator.spec.jobfile.job_spec import JobSpec, Scalar
from orchestrator.spec.jobfile.problem_collector import COMMAND_LINE, Collector
from orchestrator.spec.jobfile.problem_wording import report
from orchestrator.spec.jobfile.problems import KeyPath, Problem, SpecError, nearest, shorten
from orchestrator.spec.jobfile.short_forms import drop_covered, kind_of, table_in, write_out
from orchestrator.spec.jobfile.strict_yaml import (
    BAD,
    MAX_SIZE,
    ScalarError,
    YamlNode,
    has_bad_letters,
    plain_scalar,
    read_yaml,
)
from orchestrator.spec.shown_names import in_one_line

FILE_NAME = "job.yaml"


def read_spec(
    path: Path,
    params: Mapping[str, str] | None = None,
    seed: int | None = None,
    inputs: Mapping[str, str] | None = None,
) -> JobSpec:
    """The spec in a file, or in a folder's job.yaml, with what the command line changes in it.

    `params` are values as typed; they are read by the rules of the file. `inputs`: absolute paths, or
    references, in place of those in the file. UsageError: no such file. SpecError has all problems of a file
    that cannot be used. No other file is read, and nothing is fetched.
    """
    file = spec_file(path)
    return read_spec_text(_text_of(file), file, params, seed, inputs)


def read_spec_text(
    text: str,
    file: Path,
    params: Mapping[str, str] | None = None,
    seed: int | None = None,
    inputs: Mapping[str, str] | None = None,
) -> JobSpec:
    """The same of a job file's text, as if it lay in `file`. Errors as above."""
    if has_bad_letters(str(file.absolute())):
        raise UsageError(
            f"{in_one_line(str(file))}: the path of its folder is not UTF-8, so no run can record it",
            "rename the folder",
        )
    root, problems = read_yaml(text, str(file))
    if root is None or not isinstance(root.value, dict):
        if not problems:
            what = "is empty" if root is None else f"is {kind_of(_plain(root))}, not a mapping"
            hint = "begin with name: and command:"
            problems.append(Problem(str(file), None, "", f"the job file {what}", hint))
        raise SpecError(problems)
    found = Collector(str(file), root, problems)
    data: dict[str, Any] = _plain(root)
    _mark_bad(root, (), found)
    write_out(data, found)
    _replace_inputs(data, root, inputs or {}, found)
    resolve_places(data, file.parent, found)
    drop_covered(data)
    _override(data, root, params or {}, found)
    if seed is not None and not 0 <= seed < 1 << 32:
        found.add_typed("--seed", f"is {seed}", "it should be from 0 to 4294967295")
    check_placeholders(data, _param_names(root) | (placeholders_in(data) & set(params or {})), found)
    spec = _validate(data, found)
    if spec is not None and not found.problems:
        check_sizes(spec, found)
    if spec is None or found.problems:
        raise SpecError(found.problems)
    return spec if seed is None else spec.model_copy(update={"seed": seed})


def spec_file(path: Path) -> Path:
    """The file itself, or a folder's job.yaml. UsageError: it does not exist."""
    try:
        folder = stat.S_ISDIR(_mode(path))
        file = path / FILE_NAME if folder else path
        mode = _mode(file)
    except OSError as error:
        raise UsageError(
            f"{shorten(str(path))} cannot be read: {error.strerror}", "check the path"
        ) from error
    if stat.S_ISREG(mode) and path.suffix == ".py":
        raise UsageError(
            f"{shorten(str(path))} is a script, not a job file",
            f"run: reprise init {shlex.quote(str(path))}; it drafts the job file",
        )
    if stat.S_ISREG(mode):
        return file
    if folder:
        raise UsageError(f"{path} has no {FILE_NAME}", "name the job file itself if it is called otherwise")
    if mode:
        raise UsageError(
            f"{path} is neither a file nor a folder", f"name a job file, or a folder with a {FILE_NAME}"
        )
    raise UsageError(f"no such job file: {path}", f"name a job file, or a folder with a {FILE_NAME}")


def _mode(path: Path) -> int:
    """The mode of a file, 0 where there is none. `Path.is_file` hides other errors from Python 3.14 on."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _text_of(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_SIZE + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", "check its permissions") from error
    if len(data) > MAX_SIZE:
        raise UsageError(
            f"{file} is larger than {MAX_SIZE >> 20} MiB", "is it a job file? Data belongs into inputs"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError(
            [Problem(str(file), line, "", "this is not UTF-8 text", "save it as UTF-8")]
        ) from error


def _plain(node: YamlNode) -> Any:
    """A node's value without lines, and without what has been reported."""
    if isinstance(node.value, dict):
        return {key: _plain(item) for key, item in node.value.items() if item.value is not BAD}
    if isinstance(node.value, list):
        return ["" if item.value is BAD else _plain(item) for item in node.value]
    return node.value


def _mark_bad(node: YamlNode, path: KeyPath, found: Collector) -> None:
    """Tells the collector which values the YAML reader has reported, so that they are not reported twice."""
    if node.value is BAD:
        found.mark_reported(path)
    elif isinstance(node.value, dict):
        for key, item in node.value.items():
            _mark_bad(item, (*path, key), found)
    elif isinstance(node.value, list):
        for number, item in enumerate(node.value):
            _mark_bad(item, (*path, number), found)


def _param_names(root: YamlNode) -> set[str]:
    node = root.value.get("params")
    return set(node.value) if node is not None and isinstance(node.value, dict) else set()


def _override(data: dict[str, Any], root: YamlNode, typed: Mapping[str, str], found: Collector) -> None:
    """`-p name=value`: changes a parameter, which keeps its type, or fills a placeholder without a value."""
    names = _param_names(root)
    known = names | placeholders_in(data)
    for name, text in typed.items():
        option = f"-p {shorten(name)}"
        if name == "seed":
            found.add_typed(option, "the seed is not a parameter", "write --seed")
        elif name not in known:
            found.add_typed(
                option, "the job file has no such parameter", nearest(name, known) or "it has none"
            )
        else:
            params = data.setdefault("params", {})
            if not isinstance(params, dict) or (name in names and name not in params):
                continue  # what the file says has been reported
            try:
                params[name] = _typed_value(params.get(name), text)
            except ScalarError as error:
                found.add_typed(option, error.message, error.hint)


def _replace_inputs(data: dict[str, Any], root: YamlNode, typed: Mapping[str, str], found: Collector) -> None:
    """`--input name=PATH`: another place for an input. A digest that the file demands of it stays."""
    node = root.value.get("inputs")
    known = set(node.value) if node is not None and isinstance(node.value, dict) else set()
    for name, place in typed.items():
        if name not in known:
            hint = nearest(name, known) or "it has none"
            found.add_typed(f"--input {shorten(name)}", "the job file has no such input", hint)
        elif has_bad_letters(place):
            found.add_typed(f"--input {shorten(name)}", "its path is not UTF-8", "rename it")
        elif isinstance(item := table_in(data, "inputs").get(name), dict):
            item["path"] = place


def _typed_value(old: Scalar | None, text: str) -> Scalar:
    """The value of a typed text. ScalarError where it has another type than the old value."""
    if has_bad_letters(text):
        raise ScalarError("is not UTF-8 text", "type it in UTF-8")
    if text[:1] in ("'", '"'):
        new: Scalar | None = _quoted(text)
    else:
        new = plain_scalar(text.strip())
        new = text if isinstance(new, str) or (new is None and isinstance(old, str)) else new
    if type(old) is float and type(new) is int:
        return float(new)
    if new is None and old is None:
        raise ScalarError("has no value", """for empty text, write '""'""")
    if new is None or (old is not None and type(new) is not type(old)):
        hint = f"""for text, quote it twice: '"{shorten(text)}"'""" if isinstance(old, str) else None
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[type(old)]
        raise ScalarError(f"is {kind_of(new)}, where the job file has {kind}", hint)
    return new


def _quoted(text: str) -> str:
    try:
        node, problems = read_yaml(text, COMMAND_LINE)
    except SpecError:
        node, problems = None, []
    if node is None or problems or not isinstance(node.value, str):
        raise ScalarError(f"{shorten(text)} is not one quoted text", "close the quotes, or drop them")
    return node.value


def _validate(data: dict[str, Any], found: Collector) -> JobSpec | None:
    """Validates as JSON: there, strict mode still lets a list become a tuple and text an enum."""
    try:
        return JobSpec.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        report(error.errors(include_url=False), found)
        return None
