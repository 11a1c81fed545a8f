"""Tells data from code: what of a folder is an input of the job, and what is left of earlier runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.launch.project_survey.project_files import ProjectFiles

LARGE_FILE = 1 << 20  # bytes: a file of data from here on is an input, smaller ones are source
LARGE_FOLDER = 10 << 20
MANY_FILES = 1_000
_LOOKED_FOR = 300  # folders and files whose names are looked for in the code

_DATA_FOLDERS = frozenset({"data", "dataset", "datasets", "raw_data", "input_data", "corpus", "corpora"})
_RESULTS = frozenset(
    {"runs", "wandb", "mlruns", "lightning_logs", "outputs", "multirun", "tb_logs", "checkpoints", "logs"}
)
_DATA_FILE = re.compile(
    r".*\.(?:arrow|avro|bin|ckpt|csv|feather|gz|h5|hdf5|jsonl|lmdb|mat|mdb|npy|npz|onnx|parquet|pickle|pkl|pt|pth"
    r"|safetensors|sqlite|db|tar|tfrecords?|tgz|tsv|txt|wav|xz|zip|zst)\Z",
    re.IGNORECASE,
)
_CODE = (".py", ".pyi", ".sh", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp")
_TEXTS = (".py", ".yaml", ".yml", ".json", ".toml", ".cfg", ".ini", ".sh", ".gin")
_NAME_START = re.compile(r"[^A-Za-z0-9]+")
_NAME_REST = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class FoundData:
    name: str  # of the input
    path: str  # in the project
    folder: bool
    size: int  # bytes that were seen
    more: bool  # than was seen
    named: bool  # some file of the project writes its name

    @property
    def mounted(self) -> str:
        return f"/inputs/{self.name}"


@dataclass(frozen=True)
class Surroundings:
    data: tuple[FoundData, ...]
    results: tuple[str, ...]  # folders of earlier runs
    links: tuple[str, ...]  # that look like data: they may lead out of the project


def find_data(files: ProjectFiles, asked_for: Iterable[str] = ()) -> Surroundings:
    """`asked_for` are paths that the script has among its defaults."""
    results = sorted(folder for folder in files.folders if _is_result(files, folder))
    asked = {path for text in asked_for if (path := inside(text)) is not None}
    held = _contents(files)
    covered = set(results)
    for folder in sorted(files.folders - {""}):
        apart = folder in covered or not covered.isdisjoint(_above(folder))
        if not apart and _is_data(folder, held[folder], folder in asked):
            covered.add(folder)
    folders = sorted(covered.difference(results))
    single = [
        name
        for name, size in sorted(files.sizes.items())
        if size >= LARGE_FILE
        and (_DATA_FILE.match(name) or name in asked)
        and covered.isdisjoint(_above(name))
    ]
    taken: dict[str, int] = {}
    paths = [*folders, *single]
    named = {path for path in paths[:_LOOKED_FOR] if _is_named(files, path)}
    data = tuple(
        _found(path, held.get(path) or _Contents(files.sizes[path]), path in named, path in held, taken)
        for path in paths
    )
    links = tuple(sorted(link for link in files.links if link in asked or link in _DATA_FOLDERS))
    return Surroundings(data, tuple(results), links)


def inside(text: str) -> str | None:
    """A relative path as a name of the project; None where it leads elsewhere."""
    if not text or text.startswith(("/", "~")) or len(text) > 1000:
        return None
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return None if ".." in parts or not parts else "/".join(parts)


def _is_result(files: ProjectFiles, folder: str) -> bool:
    if folder not in _RESULTS:
        return False
    return not any(name.endswith(_CODE) for name, _ in files.below(folder))


@dataclass
class _Contents:
    """What lies in a folder and below it, or one file."""

    size: int = 0  # bytes
    count: int = 0
    code: bool = False
    more: bool = False  # than was looked at


def _contents(files: ProjectFiles) -> dict[str, _Contents]:
    found = {folder: _Contents() for folder in files.folders}
    for name, size in files.sizes.items():
        for folder in _above(name):
            holder = found[folder]
            holder.size += size
            holder.count += 1
            holder.code |= name.endswith(_CODE)
    for name in files.unseen:
        for folder in (name, *_above(name)):
            found[folder].more = True
    return found


def _above(name: str) -> Iterator[str]:
    while name:
        name = name.rpartition("/")[0]
        yield name


def _is_data(folder: str, held: _Contents, asked: bool) -> bool:
    if held.code or not (held.count or held.more):
        return False
    by_name = folder.rpartition("/")[2].lower() in _DATA_FOLDERS
    large = held.size >= LARGE_FOLDER or held.count >= MANY_FILES or held.more
    return by_name or large or (asked and held.size >= LARGE_FILE)


def _found(path: str, held: _Contents, named: bool, folder: bool, taken: dict[str, int]) -> FoundData:
    return FoundData(input_name(path, taken), path, folder, held.size, held.more, named)


def input_name(path: str, taken: dict[str, int]) -> str:
    """A name for an input, another one for each path. `taken`: names, each with the last number behind it."""
    last = _NAME_START.sub("", path.rpartition("/")[2][:1]) + path.rpartition("/")[2][1:]
    stem = _NAME_REST.sub("-", last).strip("-._")[:90] or "data"
    name = stem
    while name in taken:
        taken[stem] = taken.get(stem, 0) + 1
        name = f"{stem}-{taken[stem]}"
    taken[name] = 1
    return name


def _is_named(files: ProjectFiles, path: str) -> bool:
    last = path.rpartition("/")[2].encode()
    texts = (name for name in files.sizes if name.endswith(_TEXTS) and not name.startswith(f"{path}/"))
    return any(last in data for name in texts if (data := files.data(name)))
