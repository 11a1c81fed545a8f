"""Hyperparameters that a script logged for its tracker, with where, and how they differ from the job file's.

Read are W&B's configuration of an offline run, mlflow's `params` folder, Lightning's `hparams.yaml`,
DVCLive's `params.yaml` and what `add_hparams` writes into TensorBoard's event files. All of it is a
stranger's text: sizes are capped, and of YAML only plain lines `name: value` count, so that no tag is ever
followed.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from orchestrator.message_wording import listed
from orchestrator.run.attempt_model import LoggedParam
from orchestrator.run.collect.job_files import clean, costs_that_file
from orchestrator.run.collect.walk_tree import open_job_file
from orchestrator.run.metrics.event_files import MAX_SIZE as MAX_EVENTS
from orchestrator.run.metrics.event_files import is_event_file
from orchestrator.run.metrics.event_params import read_hparams
from orchestrator.run.metrics.metric_sources import MLFLOW_PARAMS, WANDB_LOG
from orchestrator.run.metrics.wandb_log import MAX_SIZE as MAX_WANDB
from orchestrator.run.metrics.wandb_log import read_wandb
from orchestrator.spec.jobfile.job_spec import Scalar
from orchestrator.spec.jobfile.placeholders import text_of
from orchestrator.spec.program import Program

MAX_FILES = 500  # mlflow has one for each parameter
MAX_YAML = 1 << 20  # bytes
MAX_READ = 256 << 20  # bytes of W&B's and TensorBoard's files together; the file that passes it is the last
MAX_TEXT = 1 << 13  # bytes of an mlflow parameter; it takes 6,000 itself
MAX_PARAMS = 2000  # of one source, and of a run
MAX_NAME = 200  # characters
MAX_VALUE = 1 << 13  # characters of a text; a longer one is left out
NAMED = 12  # parameters that a note names
SHOWN = 80  # characters of a value
MAX_SOURCE = 4096  # characters of a path

_LINE = re.compile(r"( *)([A-Za-z_][\w.-]{0,199}):(?: +(.*?))?\s*\Z")
_QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"\\]|\\.)*")[ \t]+#""")
_COMMENT = re.compile(r"(?:\A|[ \t])#")
_YAML = ("hparams.yaml", "params.yaml")
Logged = dict[str, Scalar]


class LoggedParams(NamedTuple):
    params: dict[str, LoggedParam]  # where several sources have a name, what the first says
    notes: list[str]


def logged_params(workspace: Path, program: Program, written: Sequence[str]) -> LoggedParams:
    """What the script logged, and notes on what the job file says otherwise, or does not say.

    A parameter of the job file is compared with a logged one of the same name, whatever folder or group. No
    content makes it raise.
    """
    notes: list[str] = []
    found: dict[str, LoggedParam] = {}
    given: Logged = {**program.params, "seed": program.seed}
    for source, logged in _sources(workspace, written, notes.append):
        found = dict(islice({**found, **_kept(source, logged), **found}.items(), MAX_PARAMS))
        differing = [
            name for name in sorted(given.keys() & logged.keys()) if not _same(given[name], logged[name])
        ]
        for name in differing[:NAMED]:
            notes.append(f"params: {source} has {_pair(name, logged)}, and the job file {_pair(name, given)}")
        more = sorted(logged.keys() - given.keys())
        if more:
            notes.append(f"params: {source} has also {listed([_pair(name, logged) for name in more], NAMED)}")
    return LoggedParams(found, notes)


def _kept(source: str, logged: Logged) -> dict[str, LoggedParam]:
    """As every column and page takes them."""
    where = clean(source, MAX_SOURCE)
    return {
        clean(name, MAX_NAME): LoggedParam(value=_plain(value), source=where)
        for name, value in logged.items()
        if not isinstance(value, str) or len(value) <= MAX_VALUE
    }


def _plain(value: Scalar) -> Scalar:
    """NaN and infinities as texts, which documents give back as they are."""
    if isinstance(value, str):
        return clean(value, MAX_VALUE)
    return text_of(value) if isinstance(value, float) and not math.isfinite(value) else value


def _pair(name: str, values: Mapping[str, Scalar]) -> str:
    return f"{clean(name, SHOWN)}={clean(text_of(values[name]), SHOWN)}"


def _same(given: Scalar, logged: Scalar) -> bool:
    """Numbers by value; a text that reads like the other's is the same: mlflow keeps texts only."""
    if isinstance(given, bool) or isinstance(logged, bool):
        return text_of(given).lower() == text_of(logged).lower()
    if isinstance(given, int | float) and isinstance(logged, int | float):
        return given == logged or (given != given and logged != logged)
    return str(given) == str(logged)


def _sources(
    workspace: Path, written: Sequence[str], lose: Callable[[str], None]
) -> Iterator[tuple[str, Logged]]:
    """Where parameters were logged, and which."""
    there = set(written)
    mlflow: dict[str, Logged] = {}
    budget = _ReadBudget()
    for path in _candidates(written, there)[:MAX_FILES]:
        found: Logged = {}
        with costs_that_file(f"params: {path}", lose):
            name = path.rpartition("/")[2]
            if inside := MLFLOW_PARAMS.search(path):
                text = _read(workspace, path, MAX_TEXT).decode("utf-8", "replace")
                mlflow.setdefault(path[: inside.end() - 1], {})[path[inside.end() :]] = _scalar(text)
                continue
            if name in _YAML:
                found = dict(_yaml_lines(_read(workspace, path, MAX_YAML)))
            elif is_event_file(path):
                with budget.open(workspace, path, MAX_EVENTS) as stream:
                    _add(found, read_hparams(stream))
            else:
                with budget.open(workspace, path, MAX_WANDB) as stream:
                    _add(found, _wandb_config(stream))
        if found:
            yield path, found
    yield from mlflow.items()


def _candidates(written: Sequence[str], there: set[str]) -> list[str]:
    """`params.yaml` and `hparams.yaml` count beside their tool's metrics: others have such files, too."""
    found = []
    for path in sorted(written):
        folder, slash, name = path.rpartition("/")
        beside = "metrics.csv" if name == "hparams.yaml" else "metrics.json"
        tools_own = name in _YAML and slash and f"{folder}/{beside}" in there
        if tools_own or is_event_file(path) or MLFLOW_PARAMS.search(path) or WANDB_LOG.search(path):
            found.append(path)
    return found


def _read(workspace: Path, path: str, limit: int) -> bytes:
    handle, _ = open_job_file(workspace, path, limit)
    with os.fdopen(handle, "rb") as stream:
        return stream.read(limit)


class _ReadBudget:
    """What may still be read of large files."""

    def __init__(self) -> None:
        self.left = MAX_READ

    @contextmanager
    def open(self, workspace: Path, path: str, limit: int) -> Iterator[BinaryIO]:
        if self.left <= 0:
            raise ValueError(f"more than {MAX_READ >> 20} MiB of such files were read")
        handle, _ = open_job_file(workspace, path, limit)
        with os.fdopen(handle, "rb") as stream:
            try:
                yield stream
            finally:
                self.left -= stream.tell()


def _add(found: Logged, items: Iterable[tuple[str, Scalar]]) -> None:
    """Into `found`, so that a file that was cut off by a kill gives what it has."""
    for name, value in items:
        if name in found or len(found) < MAX_PARAMS:
            found[name] = value


def _wandb_config(stream: BinaryIO) -> Iterator[tuple[str, Scalar]]:
    for record in read_wandb(stream, ("config",)):
        for name, value in record.items:
            yield from _flat(name, value)


def _flat(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Scalar]]:
    if isinstance(value, bool | int | float | str):
        yield name, value
    elif isinstance(value, dict) and depth < 8:
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner, depth + 1)


def _yaml_lines(data: bytes) -> Iterator[tuple[str, Scalar]]:
    """`name: value` lines, those below `group:` as `group.name`. Every other line is passed over."""
    groups: list[tuple[int, str]] = []  # indent, name
    count = 0
    for line in data.decode("utf-8", "replace").split("\n"):
        found = _LINE.match(line.removesuffix("\r"))
        if found is None:
            continue
        indent, name, text = len(found[1]), found[2], _without_comment(found[3] or "")
        while groups and groups[-1][0] >= indent:
            groups.pop()
        full = ".".join([*(group for _, group in groups), name])
        if not text:
            if len(groups) < 8:
                groups.append((indent, name))
        elif text[0] not in "!&*|>[{":
            count += 1
            if count > MAX_PARAMS:
                return
            yield full, _scalar(text.strip("'\"") if text[0] in "'\"" else text)


def _without_comment(text: str) -> str:
    """`0.1  # tuned` is 0.1; a `#` inside quotes, or right after another character, is part of the value."""
    if text[:1] in ("'", '"'):
        quoted = _QUOTED.match(text)
        return quoted[1] if quoted else text
    return _COMMENT.split(text, 1)[0].rstrip()


def _scalar(text: str) -> Scalar:
    """`8` and `0.1` as numbers, `true` and `False` as truth; every other text as it is."""
    plain = text.strip()
    if plain in ("true", "True", "false", "False"):
        return plain in ("true", "True")
    if len(plain) > 40 or "_" in plain:
        return plain
    for kind in (int, float):
        try:
            return kind(plain)
        except ValueError:
            continue
    return plain
