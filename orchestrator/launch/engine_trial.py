"""Whether this box's engine holds what a job is promised: tried with a real container, not read from a list.

An engine takes a limit, a log driver or a mount with 201 and may leave each of them out. So a few lines of
Python in an image that the engine has already touch their mount, pass their limits, write a log, and are
ended from outside.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import EngineError, EngineMissingError
from orchestrator.image.base.base_pins import list_pins
from orchestrator.image.image_model import LABEL_PROGRAM
from orchestrator.launch.session import Session
from orchestrator.run.attempt_model import Plan
from orchestrator.run.engine.check_container import check_created
from orchestrator.run.engine.engine import LABEL_HOME, LABEL_RUN, Engine
from orchestrator.run.engine.engine_logs import attached_output, entries
from orchestrator.run.hardware import home_id
from orchestrator.run.own_container import own_plan

SECONDS = 60.0  # that the container may take to its end; an idle box takes one
MEMORY = 96 << 20  # bytes that the container may use; its child takes twice as much
PROCESSES = 24
LINE = "reprise: a line of the trial"
_NAME = "trial-"

# Says what it found in its mount, as the last thing before it waits for its end. The child that takes too
# much memory is killed by the kernel where the limit holds.
_SCRIPT = f"""
import os, signal, time
os.umask(0)
signal.alarm({round(SECONDS)})  # whoever started this may be gone
mount = '/workspace/'
print({LINE!r}, flush=True)
said = ['mount'] if open(mount + 'there').read() == 'there' else []
children = []
try:
    for _ in range({2 * PROCESSES}):
        child = os.fork()
        if not child:
            signal.alarm({round(SECONDS)})
            signal.pause()
        children.append(child)
except OSError:
    said.append('processes')
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
child = os.fork()
if not child:
    bytearray(b'x' * {2 * MEMORY})
    os._exit(0)
if os.waitpid(child, 0)[1] == signal.SIGKILL:
    said.append('memory')
with open(mount + 'writing', 'w') as file:
    file.write(' '.join(said))
os.rename(mount + 'writing', mount + 'said')
signal.signal(signal.SIGTERM, lambda *_: None)
while True:
    time.sleep(1)
"""


class TrialImage(NamedTuple):
    reference: str  # what the engine is asked for
    python: str  # path in the image


def image_to_try_with(session: Session) -> TrialImage | None:
    """A base of this box, or a job's image; None where the engine has neither."""
    engine = session.engine
    for pin in list_pins(session.settings):
        if engine.image(pin.reference) is not None:
            return TrialImage(pin.reference, pin.python.executable)
    for image in engine.images_labelled(LABEL_PROGRAM):
        entrypoint = engine.image_settings(image.id).get("Entrypoint") or ["python3"]
        return TrialImage(image.id, str(entrypoint[0]))
    return None


def try_engine(session: Session, image: TrialImage) -> list[str]:
    """What a job is promised and this engine does not hold, in words; empty where it holds everything.

    EngineError: the engine says itself that it is unfit, or refuses the container.
    """
    engine, info = session.engine, session.engine.info()
    info.refuse_unfit()
    _remove_stale(session)
    name = f"{_NAME}{secrets.token_hex(8)}"
    folder = session.settings.attempts / name
    plan = own_plan(
        name,
        info,
        image.reference,
        image.python,
        _SCRIPT,
        {"/workspace": folder},
        memory=MEMORY,
        processes=PROCESSES,
        seconds=SECONDS,
        labels={LABEL_RUN: name, LABEL_HOME: home_id(session.settings)},
    )
    try:
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        (folder / "there").write_text("there")
        found = list(_tried(engine, plan, folder))
    finally:
        with suppress(EngineError):
            engine.remove(name)
        shutil.rmtree(folder, ignore_errors=True)
    if engine.inspect(name) is not None:
        found.append("a container that was removed is still there")
    if folder.exists():
        found.append(f"files that a job wrote cannot be removed from {folder}")
    return found


def _remove_stale(session: Session) -> None:
    """Remove what killed trials left behind. Another process may be at its own trial now."""
    engine = session.engine
    old = engine.now() - timedelta(seconds=2 * SECONDS)
    for state in engine.containers_of(home_id(session.settings)):
        if state.name.startswith(_NAME) and state.finished_at is not None and state.finished_at < old:
            engine.remove(state.name)
            shutil.rmtree(session.settings.attempts / state.name, ignore_errors=True)


def _tried(engine: Engine, plan: Plan, folder: Path) -> Iterator[str]:
    """Each thing that did not hold, while the container goes through its life."""
    engine.create(plan)
    engine.create(plan)  # a second one is the first
    found = engine.image(plan.image)
    check_created(engine, plan, () if found is None else (found.id,))
    heard = attached_output(engine, plan.container)
    engine.start(plan.container)
    if not _until(lambda: (folder / "said").exists() or _ended(engine, plan.container)):
        yield f"a container did not do its work within {SECONDS:g} s"
        return
    said = (folder / "said").read_text().split() if (folder / "said").exists() else None
    if said is None:
        state = engine.inspect(plan.container)
        code = "is gone" if state is None else f"ended with exit code {state.exit_code}"
        yield f"what a container writes into its mount does not come here; the container {code}"
        return
    for limit in ("mount", "processes", "memory"):
        if limit not in said:
            yield f"a container passed its limit of {limit}" if limit != "mount" else "a mount"
    began = time.monotonic()
    engine.stop(plan.container, 1)
    if time.monotonic() - began > SECONDS / 2 or not _ended(engine, plan.container):
        yield "a container that ignores SIGTERM is not ended in time: no time limit holds"
        return
    yield from _after_the_end(engine, plan, heard, out_of_memory="memory" in said)


def _after_the_end(
    engine: Engine, plan: Plan, heard: Iterator[tuple[int, bytes]], *, out_of_memory: bool
) -> Iterator[str]:
    state = engine.inspect(plan.container)
    if out_of_memory and (state is None or not state.oom_killed):
        yield "a kill for memory is not reported, so it would pass as the job's own failure"
    if not engine.was_killed(plan.container):
        yield "a kill from outside is not reported, so it would pass as the job's own failure"
    line = LINE.encode() + b"\n"
    if b"".join(data for _, data in heard) != line:
        yield "what a container writes does not arrive while it runs"
    try:
        kept = b"".join(entry.data for entry in entries(engine, plan.container, follow=False))
    except EngineMissingError:
        raise
    except EngineError as error:
        yield f"the engine's own log cannot be read: {error.message}"
    else:
        if kept != line:
            yield "what a container wrote is not in the engine's own log"


def _ended(engine: Engine, name: str) -> bool:
    state = engine.inspect(name)
    return state is None or state.ended


def _until(done: Callable[[], bool]) -> bool:
    end = time.monotonic() + SECONDS
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
