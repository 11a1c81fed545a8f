"""Which files of a job hold its metrics, and how metrics of several files are called.

`metrics.json` and `metrics.jsonl` in the working directory come first. Many tools write into a folder for
each run, named by a moment, a number or an id. Where the job wrote neither file, the layouts of hydra,
lightning (CSVLogger), W&B (offline), mlflow (file store), DVCLive, Hugging Face's Trainer and Keras'
CSVLogger are looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from os.path import commonpath

from orchestrator.run.metrics.event_files import timeless
from orchestrator.spec.globs import WILD, matcher
from orchestrator.value import Value

FINAL = "metrics.json"
SERIES = "metrics.jsonl"
MAX_FILES = 200  # files that are read; one of the largest size takes half a second

# The name of a folder, or of a part of it between `-`, `_` and `.`, that another run would not have.
_DATE = r"(19|20)\d{2}[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3])[-_:.]?[0-5]\d[-_:.]?[0-5]\d"
_SECONDS = r"1\d{9}(\d{3})?(\.\d+)?"
_HEX = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,64}"
_OWN = re.compile(rf"(?<![0-9A-Za-z])({_DATE}[T_ -]?({_TIME})?|{_TIME}|{_SECONDS}|{_HEX})(?![0-9A-Za-z])")
_VERSION = re.compile(r"(^|/)version_\d+\Z")
WANDB_LOG = re.compile(r"(^|/)wandb/(offline-)?run-[^/]+/run-[^/]+\.wandb\Z")
MLFLOW_PARAMS = re.compile(r"(^|/)mlruns/\d+/[0-9a-f]{32}/params/")
_WANDB = re.compile(r"(^|/)wandb/(offline-)?run-[^/]+/files\Z")
_MLFLOW = re.compile(r"(^|/)mlruns/\d+/[0-9a-f]{32}/metrics/")
_DVCLIVE = re.compile(r"(?P<root>(.*/)?)plots/metrics/(?P<name>.+)\.tsv\Z")
_CHECKPOINT = re.compile(r"(.*/)?checkpoint-(\d{1,12})/\Z")
TRAINER_STATE = "trainer_state.json"
TABLES = (".csv", ".log")  # what a Keras CSVLogger's file may end with


class MetricFormat(Enum):
    """How a file is read."""

    OBJECT = "object"  # of JSON
    LINES = "lines"  # each an object of JSON
    TABLE = "table"  # CSV with a line of names
    POINTS = "points"  # mlflow's: `milliseconds value step`, one metric a file
    TABS = "tabs"  # DVCLive's: a table with tabs, one metric a file
    TRAINER = "trainer"  # the state of Hugging Face's Trainer, whose `log_history` is lines
    WANDB = "wandb"  # W&B's log of a run


class MetricFile(Value):
    path: str
    kind: MetricFormat
    folder: str = ""  # stands before a metric's name that other files have as well
    name: str = ""  # of the one metric, where the file holds one
    hidden: bool = False  # names that begin with _ are the tool's own
    maybe: bool = False  # only where its first line says that it is a Keras CSVLogger's

    @property
    def prefix(self) -> str:
        return f"{self.folder}/" if self.folder else ""


def metric_files(named: str | None, written: Sequence[str]) -> list[MetricFile]:
    """The files to read. `named` is what the spec says, `written` what the job wrote.

    A named path is in the list whether it was written or not. Of files that fit a glob, those are in the list
    whose ending we can read.
    """
    if named is None:
        at_top = [MetricFile(path=name, kind=_kind(name)) for name in (FINAL, SERIES)]
        found = [] if {FINAL, SERIES} & set(written) else list(_in_own_folders(written))
        return [*at_top, *_apart(found)]
    if named in written or not WILD & set(named):
        return [MetricFile(path=named, kind=_kind(named))]
    fits = matcher((named,))
    fitting = [path for path in sorted(written) if fits(path)]
    endings = (".json", ".jsonl", ".csv")
    return _apart([MetricFile(path=path, kind=_kind(path)) for path in fitting if path.endswith(endings)])


def short_names(names: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Metric names as read -> as recorded: without the folder where only one folder has the name."""
    folders: dict[str, set[str]] = {}
    for folder, name in names.values():
        folders.setdefault(name, set()).add(folder)
    return {read: name if len(folders[name]) == 1 else read for read, (_, name) in names.items()}


def _kind(path: str) -> MetricFormat:
    if path.endswith(".jsonl"):
        return MetricFormat.LINES
    return MetricFormat.TABLE if path.endswith(".csv") else MetricFormat.OBJECT


def _in_own_folders(written: Iterable[str]) -> Iterable[MetricFile]:
    there = set(written)
    logs = {path.rpartition("/")[0] for path in there if WANDB_LOG.search(path)}
    states = set(_last_states(there))
    for path in sorted(there):
        folder, _, name = path.rpartition("/")
        if points := _MLFLOW.search(path):
            yield MetricFile(path=path, kind=MetricFormat.POINTS, name=path[points.end() :])
        elif (live := _DVCLIVE.match(path)) and f"{live['root']}{FINAL}" in there:
            yield MetricFile(path=path, kind=MetricFormat.TABS, name=live["name"])
        elif WANDB_LOG.search(path):
            yield MetricFile(path=path, kind=MetricFormat.WANDB)
        elif name == "wandb-summary.json" and _WANDB.search(folder):
            if folder.rpartition("/")[0] not in logs:
                yield MetricFile(path=path, kind=MetricFormat.OBJECT, hidden=True)
        elif name == "metrics.csv" and (_VERSION.search(folder) or f"{folder}/hparams.yaml" in there):
            yield MetricFile(path=path, kind=MetricFormat.TABLE)
        elif path in states:
            yield MetricFile(path=path, kind=MetricFormat.TRAINER)
        elif name in (FINAL, SERIES) and (_OWN.search(folder) or _VERSION.search(folder)):
            yield MetricFile(path=path, kind=_kind(name))
        elif name.endswith(TABLES):
            yield MetricFile(path=path, kind=MetricFormat.TABLE, maybe=True)


def _last_states(written: Iterable[str]) -> Iterable[str]:
    """The last state of each Trainer, in its folder or its last checkpoint. A state holds all before it."""
    last: dict[str, tuple[int, str]] = {}
    for path in written:
        folder, slash, name = path.rpartition("/")
        if name == TRAINER_STATE:
            at = _CHECKPOINT.match(folder + slash)
            root, step = ((at[1] or ""), int(at[2])) if at else (folder + slash, 1 << 60)
            last[root] = max(last.get(root, (-1, "")), (step, path))
    return [path for _, path in last.values()]


def _apart(files: list[MetricFile]) -> list[MetricFile]:
    """The files with the folders that tell them apart, without moments and ids, below their common folder.

    Folders that differ in nothing else are numbered in the order of their names.
    """
    folders = sorted({_folder(file) for file in files})
    common = commonpath(folders) if folders else ""
    inside = {folder: folder[len(common) :].strip("/") for folder in folders}
    seen: dict[str, int] = {}
    for folder, below in inside.items():
        name = _OWN.sub("RUN", timeless(below))
        seen[name] = seen.get(name, 0) + 1
        inside[folder] = name if seen[name] == 1 else f"{name}-{seen[name]}"
    return [file.model_copy(update={"folder": inside[_folder(file)]}) for file in files]


def _folder(file: MetricFile) -> str:
    """The folder of a file; for mlflow and DVCLive the run's, because each metric has a file of its own."""
    points = _MLFLOW.search(file.path)
    if points:
        return file.path[: points.end() - 1]
    live = _DVCLIVE.match(file.path) if file.kind is MetricFormat.TABS else None
    return live["root"].rstrip("/") if live else file.path.rpartition("/")[0]
