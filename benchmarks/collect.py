"""Outputs into the store: 10,000 small files, and one of a gibibyte, each into a new store.

Beside it what a person would type: copy, sha256sum, sync (ours is durable when it returns, so is this).
Both read from the page cache.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from rounds import measure, report, run, timed
from scratch import scratch

from orchestrator.record.store.folder_store import BlobStore
from orchestrator.run.collect.output_files import collect_outputs

SMALL, KILOBYTE, LARGE = 10_000, 1 << 10, 1 << 30
BY_HAND = "cp -r $0 $1 && find $1 -type f -print0 | xargs -0 sha256sum > $1.sums && sync -f $1"


def variants(folder: Path, name: str) -> dict[str, Callable[[], float]]:
    workspace = folder / name
    files = sum(1 for path in workspace.rglob("*") if path.is_file())
    numbers = itertools.count()

    def collect() -> None:
        with BlobStore(folder / "store").batch() as batch:
            outputs = collect_outputs(workspace, ("**",), LARGE, batch)
        if len(outputs) != files:
            raise RuntimeError(f"{len(outputs)} outputs of {files}")

    def fresh(target: Path, action: Callable[[], object]) -> float:
        os.sync()  # what earlier variants left to be written is not ours to wait for
        took = timed(action)
        shutil.rmtree(target)
        return took

    def by_hand() -> float:
        copy = folder / f"copy{next(numbers)}"
        return fresh(copy, lambda: run(["sh", "-c", BY_HAND, str(workspace), str(copy)]))

    return {
        "cp -r, sha256sum, sync": by_hand,
        "collect_outputs": lambda: fresh(folder / "store", collect),
    }


def main() -> None:
    with scratch() as room:
        small, large = room.folder / "small", room.folder / "large"
        for number in range(SMALL):
            path = small / f"part{number // 500}" / f"{number}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(KILOBYTE))
        tables = {f"{SMALL} files of 1 KiB": measure(variants(room.folder, "small"), rounds=5)}
        if "--no-large" not in sys.argv:
            large.mkdir()
            with (large / "weights.bin").open("wb") as stream:
                for _ in range(64):
                    stream.write(os.urandom(LARGE // 64))
            tables["One file of 1 GiB"] = measure(variants(room.folder, "large"), rounds=3)
    report("collect", tables)


if __name__ == "__main__":
    main()
