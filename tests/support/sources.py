"""Sources to be read: folders, and git repositories made on the spot."""

from __future__ import annotations

from pathlib import Path

from orchestrator.spec.jobfile.job_spec import SourceSpec
from orchestrator.spec.source.read_source import read_source
from orchestrator.spec.source.source_tree import SourceTree
from support.box import git

FILES = {
    "train.py": b"print('hello')\n",
    "lib/a.py": b"A = 1\n",
    "lib/a-b.py": b"",
    "data/ünï.bin": bytes(range(256)),
    "name with space": b"x",
}

LFS_POINTER = b"version https://git-lfs.example/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5\n"


def fill(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def committed(folder: Path) -> Path:
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def read(folder: Path, commit: str | None = None, exclude: tuple[Path, ...] = ()) -> SourceTree:
    return read_source(SourceSpec(path=str(folder), commit=commit), exclude)


def names(tree: SourceTree) -> list[str]:
    return [file.path for file in tree.files]
