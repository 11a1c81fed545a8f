"""Opens files of a job to this box's user, who could not read or remove them without being root.

A job's files belong to the job's user, with the modes that the job gave them. So their owner opens them: a
container that is confined as a job is (same user, no capabilities, no network, only this attempt's folders)
runs a few lines of ours, and nobody gets more rights than the job had. Files that everybody may read are left
alone: to change a mode sets the time of the last change, which tells whether the job wrote a file
(starting_source.py).
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from orchestrator.errors import EngineError
from orchestrator.image.image_model import LABEL_PROGRAM
from orchestrator.run.attempt_model import Plan
from orchestrator.run.collect.walk_tree import FOLDER_FLAGS, MAX_DEPTH, MAX_FILES
from orchestrator.run.engine.engine import Engine
from orchestrator.run.own_container import own_plan

SECONDS = 120.0  # for the container, which takes one for 100,000 entries
MEMORY = 256 << 20  # bytes
PROCESSES = 32

# The sticky bit means nothing on a file. It marks the mode as changed by us (starting_source.py).
# Down by names and up by `..`: descriptors and paths have limits, and a job may nest folders without any.
_SCRIPT = """
import os, stat, sys
def change(name, mode):
    try:
        os.chmod(name, mode)
        return True
    except OSError:
        return False  # not ours, so not the job's either
def inside():
    for name in os.listdir():
        mode = os.lstat(name).st_mode
        if stat.S_ISDIR(mode):
            yield name
        elif stat.S_ISREG(mode) and not mode & 0o004:
            change(name, stat.S_IMODE(mode) | 0o1004)
for root in sys.argv[1:]:
    os.chdir(root)
    open_ones = [inside()]
    while open_ones:
        name = next(open_ones[-1], None)
        if name is None:
            open_ones.pop()
            if open_ones:
                os.chdir('..')
        elif change(name, 0o777):
            os.chdir(name)
            open_ones.append(inside())
"""


def closed_to_us(folders: Iterable[Path]) -> bool:
    """Whether this process may not read something below these folders. Root may read everything."""
    return os.geteuid() != 0 and any(_hides(os.open(folder, FOLDER_FLAGS), 0) for folder in folders)


def _hides(fd: int, depth: int) -> bool:
    """Whether an open folder has something that we may not read, as deep as a collection looks; closes it."""
    try:
        with os.scandir(fd) as entries:
            names = [entry.name for entry in islice(entries, MAX_FILES)]
        for name in names:
            facts = os.stat(name, dir_fd=fd, follow_symlinks=False)
            is_folder = stat.S_ISDIR(facts.st_mode)
            needed = 0o5 if is_folder else 0o4
            if facts.st_uid != os.geteuid() and facts.st_mode & needed != needed:
                return True
            if is_folder and depth < MAX_DEPTH and _hides(os.open(name, FOLDER_FLAGS, dir_fd=fd), depth + 1):
                return True
    finally:
        os.close(fd)
    return False


def open_up(engine: Engine, image: str, folders: Iterable[Path], labels: dict[str, str]) -> None:
    """Make everything below these folders of dead jobs readable, and let anybody empty the folders there.

    `image` is the image of the job, or any job's image that the engine still has. The folders lie in a folder
    that is closed to all others. EngineError: it could not be done.
    """
    found = engine.image(image)
    if found is None or LABEL_PROGRAM not in found.labels:
        other = next(engine.images_labelled(LABEL_PROGRAM), None)
        if other is None:
            raise EngineError("no image of a job is in the engine to open a job's files with")
        image = other.id
    entrypoint = engine.image_settings(image).get("Entrypoint") or ["python3"]
    plan = own_plan(
        f"open-{secrets.token_hex(8)}",
        engine.info(),
        image,
        str(entrypoint[0]),
        _SCRIPT,
        {f"/workspace/{place}": folder for place, folder in enumerate(folders)},
        memory=MEMORY,
        processes=PROCESSES,
        seconds=SECONDS,
        labels=labels,
    )
    _run(engine, plan)


def _run(engine: Engine, plan: Plan) -> None:
    deadline = time.monotonic() + SECONDS
    try:
        engine.create(plan)
        engine.start(plan.container)
        while not engine.wait(plan.container, 1.0):
            if time.monotonic() > deadline:
                raise EngineError(f"opening a job's files took more than {SECONDS:g} s")
        state = engine.inspect(plan.container)
        if state is None or state.exit_code != 0:
            code = "it is gone" if state is None else f"exit code {state.exit_code}"
            raise EngineError(f"a job's files could not be opened: {code}")
    finally:
        engine.remove(plan.container)
