"""Input data by digest: hash, put into the store, fetch on another box, look a second time.

100,000 files of 10 KB and one file of 10 GiB of random bytes, or one part in so many of both (`--part 3`).
Each size has a results file of its own; `--only small` and `--only large`, too.
Beside it `rclone copy` to the same kind of place, `dvc add`, `dvc push` and `dvc fetch` in an environment of
its own (`--dvc PROGRAM`; without it DVC is left out), and for the second look `git status` of as many files.
The tools take turns (`--rounds`), and each leaves nothing on the disk for the next: at most three times the
data lie there. Each step is a process of its own, its start included, and the disk is flushed before it.
benchmarks/README.md says what the numbers do not say.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rounds import environ, report, run, timed
from support.services import S3Server, s3_server

RCLONE = str(Path(sys.executable).with_name("rclone"))
FILES, LARGE = 100_000, 10 << 30  # of the full size: small files, bytes of the large one
SIZE = 10_000  # bytes of a small file
SETTLED = 3.0  # seconds: a file that changed less than two seconds ago is read again (docs/data.md)
STEP = """
import sys
from pathlib import Path
from orchestrator.digest import Digest
from orchestrator.launch.inputs.fetch_input import materialise
from orchestrator.launch.inputs.upload_input import put_input
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.spec.inputs import read_input
with Session.open() as session:
    if sys.argv[1] == "hash":
        print(read_input(Path(sys.argv[2]), session.known_hashes).digest)
    elif sys.argv[1] == "put":
        print(put_input(session, Path(sys.argv[2]), Silent()).digest)
    else:
        print(materialise(session, Digest(sys.argv[2]), Silent()))
(most,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(most)
"""
Steps = dict[str, Callable[[], object]]  # by the table's name
Tables = dict[str, dict[str, list[float]]]
UPLOAD, UNTIMED, FETCH, AGAIN = "upload", "", "fetch", "fetch again"


class Bench:
    """One set of data and one kind of place, on a folder that is emptied after each tool."""

    def __init__(self, folder: Path, data: Path, dvc: str | None, s3: S3Server | None) -> None:
        self.folder, self.data, self.dvc, self.s3 = folder, data, dvc, s3
        self.env = environ(REPRISE_DATABASE_URL=f"sqlite:///{folder / 'record.db'}")
        self.place, self.options = str(folder / "rclone"), list[str]()
        if s3 is None:
            self.env["REPRISE_STORE"] = str(folder / "store")
        else:
            self.env |= {"REPRISE_STORE": s3.address(data.name), **s3.environ}
            self.place = f":s3:{s3.bucket}/rclone-{data.name}"
            endpoint = s3.environ["AWS_ENDPOINT_URL"]
            self.options = ["--s3-provider", "Other", "--s3-endpoint", endpoint, "--s3-env-auth"]
        self.memory = 0  # KiB: the most that a step of ours had
        self.digest = ""

    def tools(self) -> dict[str, Callable[[], Steps]]:
        found: dict[str, Callable[[], Steps]] = {"rclone": self._rclone, "reprise": self._reprise}
        if self.dvc is not None and self.s3 is None:
            found["dvc"] = self._dvc
        return found

    def _rclone(self) -> Steps:
        back = self.folder / "back"

        def call(*words: str | Path) -> None:
            run([RCLONE, "--config", os.devnull, *self.options, *map(str, words)], self.env)

        return {
            "hash": lambda: call("hashsum", "sha256", self.data),
            UPLOAD: lambda: call("copy", self.data, self.place),
            FETCH: lambda: call("copy", self.place, back),
            AGAIN: lambda: call("copy", self.place, back),
        }

    def _reprise(self) -> Steps:
        def call(home: str, *words: str) -> None:
            env = self.env | {"REPRISE_HOME": str(self.folder / home)}
            *_, digest, memory = run([sys.executable, "-c", STEP, *words], env).split()
            self.digest = digest if words[0] == "hash" else self.digest
            self.memory = max(self.memory, int(memory))

        return {
            "hash": lambda: call("here", "hash", str(self.data)),
            UPLOAD: lambda: call("here", "put", str(self.data)),  # hashed before
            FETCH: lambda: call("there", "get", self.digest),
            AGAIN: lambda: call("there", "get", self.digest),
        }

    def _dvc(self) -> Steps:
        project, env, program = self.folder / "dvc", environ(DVC_NO_ANALYTICS="1"), str(self.dvc)

        def call(*words: str) -> None:
            run([program, *words], env, project)

        project.mkdir()
        call("init", "--no-scm", "-q")
        call("config", "cache.type", "hardlink")
        call("remote", "add", "-d", "far", str(self.folder / "dvc-remote"))
        shutil.copytree(self.data, project / "data", copy_function=os.link)
        cache = project / ".dvc" / "cache"
        return {
            "hash": lambda: call("add", "-q", "data"),
            UPLOAD: lambda: call("push", "-q"),
            UNTIMED: lambda: cache.rename(project / "cache-of-the-sender"),
            FETCH: lambda: call("fetch", "-q"),
            AGAIN: lambda: call("fetch", "-q"),
        }

    def clear(self, aside: Path | None) -> None:
        """An empty folder for the next tool: what is there is put aside, or removed."""
        left = [*self.folder.iterdir(), *(self.s3.path("").iterdir() if self.s3 is not None else ())]
        for path in left:
            if aside is not None:
                path.rename(aside / f"{len(list(aside.iterdir()))}-{path.name}")
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def measured(bench: Bench, title: str, rounds: int, aside: Path | None) -> Tables:
    """`aside`: where a tool's files go. Many removed files slow down whoever makes files next: ext4 without a
    journal looks for inodes that were not used in the last minutes, and took 2.5 times as long for 10,000."""
    found: Tables = {}
    for number in range(rounds):
        for tool, steps in bench.tools().items():
            for step, action in steps().items():
                os.sync()  # what was left to be written is not this step's to wait for
                seconds = timed(action)
                if step == UNTIMED:
                    continue
                found.setdefault(f"{title}: {step}", {}).setdefault(tool, []).append(seconds)
                print(f"{seconds:9.2f} s  {title}: {step}, {tool}, round {number + 1}", file=sys.stderr)
            bench.clear(aside)
    return found


def second_look(folder: Path, data: Path) -> dict[str, list[float]]:
    """Nothing has changed."""
    repository = folder / "repository"
    shutil.copytree(data, repository, copy_function=os.link)
    run(["git", "init", "-q", str(repository)])
    run(["git", "add", "-A"], cwd=repository)
    env = environ(REPRISE_HOME=str(folder / "here"))
    words = [sys.executable, "-c", STEP, "hash", str(data)]
    time.sleep(SETTLED)  # else a small set, just written, is read anew each time, by git as by us
    run(["git", "status", "--short"], cwd=repository)
    run(words, env)
    found: dict[str, list[float]] = {"git status": [], "reprise, with Python's start": []}
    for _ in range(5):
        found["git status"].append(timed(lambda: run(["git", "status", "--short"], cwd=repository)))
        found["reprise, with Python's start"].append(timed(lambda: run(words, env)))
    return found


def _write(small: Path, large: Path, files: int, size: int) -> None:
    for number in range(files):
        path = small / f"class{number // 1000:03}" / f"{number:07}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(SIZE))
    large.mkdir(parents=True)
    with (large / "large.bin").open("wb") as out:
        for at in range(0, size, 1 << 24):
            out.write(os.urandom(min(1 << 24, size - at)))


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("--part", type=int, default=1, metavar="N", help="one part in N of the full size")
    reader.add_argument(
        "--only", choices=("small", "large"), help="only the small files, or only the large one"
    )
    reader.add_argument("--rounds", type=int, default=1)
    reader.add_argument("--dvc", help="the dvc program of an environment of its own")
    options = reader.parse_args()
    files = 0 if options.only == "large" else FILES // options.part
    size = 0 if options.only == "small" else LARGE // options.part
    tables: Tables = {}
    memory: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="reprise-bench-", dir=Path.home()) as name:
        folder, work, aside = (Path(name) / part for part in ("", "work", "aside"))
        small, large = folder / "data" / "small", folder / "data" / "large"
        _write(small, large, files, size)
        work.mkdir()
        aside.mkdir()
        with s3_server(folder) as s3:
            many, one = f"{files:,} files of 10 KB", f"One file of {size:,} bytes"
            sets = {"small": (small, many, aside), "large": (large, one, None)}
            for data, title, put in (sets[name] for name in sets if options.only in (None, name)):
                for kind, place in (("folder", None), ("S3", s3)):
                    bench = Bench(work, data, options.dvc, place)
                    tables |= measured(bench, f"{title}, {kind}", options.rounds, put)
                    memory[f"{title}, {kind}"] = bench.memory >> 10
        if options.only != "large":
            tables[f"A second look at {files:,} files"] = second_look(work, small)
    which = f"_{options.only}" if options.only else ""
    report(f"data_part_{options.part}{which}", tables, files=files, large_bytes=size, most_MiB_of_ours=memory)


if __name__ == "__main__":
    main()
