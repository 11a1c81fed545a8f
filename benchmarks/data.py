"""Input data by digest: hash, put into the store, fetch on another box, look a second time.

100,000 files of 10 KB and one file of 10 GiB of random bytes (`--files`, `--large` in GiB: another size).
Beside it `rclone copy` to the same kind of place, `dvc add`, `dvc push` and `dvc fetch` in an environment of
its own (`--dvc PROGRAM`; without it DVC is left out), and for the second look `git status` of as many files.
Each step is a process of its own, its start included, and the disk is flushed before it. All in one run, so
that a busy machine hits all alike. benchmarks/README.md says what the numbers do not say.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from socket import create_connection

from rounds import environ, report, run, timed

RCLONE = str(Path(sys.executable).with_name("rclone"))
SIZE = 10_000  # bytes of a small file
PORT = 18372
SETTLED = 3.0  # seconds: what was changed less than two before it is read is read again (docs/data.md)
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench-secret", "AWS_REGION": "us-east-1"}
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
"""


class Bench:
    def __init__(self, folder: Path, data: Path, dvc: str | None, s3: Path | None) -> None:
        self.folder, self.data, self.dvc, self.s3 = folder, data, dvc, s3
        store = str(folder / "store") if s3 is None else f"s3://bucket/{data.name}"
        endpoint = {} if s3 is None else {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}", **KEYS}
        self.env = environ(
            REPRISE_STORE=store, REPRISE_DATABASE_URL=f"sqlite:///{folder / 'record.db'}", **endpoint
        )
        self.place = str(folder / "rclone") if s3 is None else f":s3:bucket/rclone-{data.name}"
        self.options = (
            []
            if s3 is None
            else ["--s3-provider", "Other", "--s3-endpoint", endpoint["AWS_ENDPOINT_URL"], "--s3-env-auth"]
        )

    def reprise(self, home: str, *words: str) -> str:
        env = self.env | {"REPRISE_HOME": str(self.folder / home)}
        return run([sys.executable, "-c", STEP, *words], env).strip().splitlines()[-1]

    def rclone(self, *words: str) -> None:
        run([RCLONE, "--config", os.devnull, *self.options, *words], self.env)

    def tables(self, title: str) -> dict[str, dict[str, list[float]]]:
        digest: list[str] = []
        back = self.folder / "back"
        steps: dict[str, dict[str, Callable[[], object]]] = {
            "hash": {
                "rclone hashsum sha256": lambda: self.rclone("hashsum", "sha256", str(self.data)),
                "reprise": lambda: digest.append(self.reprise("here", "hash", str(self.data))),
            },
            "upload": {
                "rclone copy": lambda: self.rclone("copy", str(self.data), self.place),
                "reprise, hashed before": lambda: self.reprise("here", "put", str(self.data)),
            },
            "fetch": {
                "rclone copy": lambda: self.rclone("copy", self.place, str(back)),
                "reprise": lambda: self.reprise("there", "get", digest[-1]),
            },
            "fetch again": {
                "rclone copy": lambda: self.rclone("copy", self.place, str(back)),
                "reprise": lambda: self.reprise("there", "get", digest[-1]),
            },
        }
        if self.dvc is not None and self.s3 is None:
            self._add_dvc(steps)
        found = {f"{title}: {name}": _measured(variants) for name, variants in steps.items()}
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return found

    def _add_dvc(self, steps: dict[str, dict[str, Callable[[], object]]]) -> None:
        project, env = self.folder / "dvc", environ(DVC_NO_ANALYTICS="1")
        project.mkdir()
        program = str(self.dvc)
        run([program, "init", "--no-scm", "-q"], env, project)
        run([program, "config", "cache.type", "hardlink"], env, project)
        run([program, "remote", "add", "-d", "far", str(self.folder / "dvc-remote")], env, project)
        shutil.copytree(self.data, project / "data", copy_function=os.link)

        def fetch() -> None:
            shutil.rmtree(project / ".dvc" / "cache")
            run([program, "fetch", "-q"], env, project)

        steps["hash"]["dvc add"] = lambda: run([program, "add", "-q", "data"], env, project)
        steps["upload"]["dvc push"] = lambda: run([program, "push", "-q"], env, project)
        steps["fetch"]["dvc fetch"] = fetch


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


def _measured(variants: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    found = {}
    for name, action in variants.items():
        os.sync()  # what earlier steps left to be written is not this one's to wait for
        found[name] = [timed(action)]
        print(f"{found[name][0]:9.2f} s  {name}", file=sys.stderr)
    return found


def _wait_for(server: subprocess.Popen[bytes]) -> None:
    """Until the server takes connections."""
    while server.poll() is None:
        try:
            with closing(create_connection(("127.0.0.1", PORT), 1)):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"rclone's server of S3 ended: is port {PORT} in use?")


def _write(small: Path, large: Path, files: int, gib: float) -> None:
    for number in range(files):
        path = small / f"class{number // 1000:03}" / f"{number:07}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(SIZE))
    large.mkdir(parents=True)
    with (large / "large.bin").open("wb") as out:
        for _ in range(int(gib * 64)):
            out.write(os.urandom(1 << 24))


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("--files", type=int, default=100_000)
    reader.add_argument("--large", type=float, default=10, help="GiB")
    reader.add_argument("--dvc", help="the dvc program of an environment of its own")
    options = reader.parse_args()
    tables: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="reprise-bench-", dir=Path.home()) as name:
        folder, s3 = Path(name), Path(name) / "s3"
        small, large = folder / "data" / "small", folder / "data" / "large"
        _write(small, large, options.files, options.large)
        (s3 / "bucket").mkdir(parents=True)
        words = [RCLONE, "serve", "s3", "--addr", f"127.0.0.1:{PORT}", "--config", os.devnull]
        words += ["--auth-key", ",".join(list(KEYS.values())[:2]), str(s3)]
        server = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        try:
            _wait_for(server)
            for data, title in (
                (small, f"{options.files:,} files of 10 KB"),
                (large, f"One file of {options.large:g} GiB"),
            ):
                for kind, place in (("folder", None), ("S3", s3)):
                    work = folder / "work"
                    work.mkdir(exist_ok=True)
                    tables |= Bench(work, data, options.dvc, place).tables(f"{title}, {kind}")
                    for stored in (s3 / "bucket").iterdir():
                        shutil.rmtree(stored)
            (folder / "work").mkdir(exist_ok=True)
            tables[f"A second look at {options.files:,} files"] = second_look(folder / "work", small)
        finally:
            server.kill()
            server.wait()
    report("data", tables, files=options.files, large_GiB=options.large)


if __name__ == "__main__":
    main()
