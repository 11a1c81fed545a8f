"""Whether an attempt's inputs stayed the same from before they were hashed until the job had ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.image.image_model import INPUTS
from orchestrator.launch.execute.attempt_plan import Terms
from orchestrator.launch.execute.stop_requests import StopRequest
from orchestrator.launch.session import Session
from orchestrator.launch.submit.find_inputs import FoundInputs, recorded_inputs
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Failure, Plan, Result, State
from orchestrator.run.workspace import folders_of
from orchestrator.settings import Settings
from orchestrator.several_at_once import Stop
from orchestrator.spec.input_stamps import stamp_of
from orchestrator.spec.inputs import digest_of

LOOK = 0.5  # seconds between two looks whether somebody asked for the end
_MOST = 1 << 20  # bytes


def checked(session: Session, run: RunRecord, attempt: int, terms: Terms, watch: Watch) -> Terms | None:
    """The terms with verified inputs and their stamps from before. None: somebody asked for the end."""
    if terms.inputs is not None and terms.stamps is not None:
        return terms
    found = _verified(session, run, attempt, watch)
    return None if found is None else replace(terms, inputs=found.paths, stamps=found.stamps)


def _verified(session: Session, run: RunRecord, attempt: int, watch: Watch) -> FoundInputs | None:
    """Hashed or fetched in a thread: terabytes take an hour, and somebody may cancel the run meanwhile."""
    found: list[FoundInputs] = []
    failed: list[Exception] = []
    unwanted = Stop()

    def work() -> None:
        try:
            found.append(recorded_inputs(session, run, watch, unwanted))
        except Exception as error:  # noqa: BLE001  (raised where it is waited for)
            failed.append(error)

    if not run.program.inputs:
        return FoundInputs()
    worker = threading.Thread(target=work, name="inputs", daemon=True)
    try:
        with StopRequest(session.record, run.id, attempt, watch.note) as stop:
            worker.start()
            while worker.is_alive():
                worker.join(LOOK)
                if stop():
                    return None
    finally:
        unwanted.order()  # Python waits for the threads that it works with, before a process can end
    if failed:
        raise failed[0]
    return found[0]


def changed_before(
    session: Session, wanted: Mapping[str, Digest], plan: Plan, stamps: Mapping[str, str]
) -> str | None:
    """Why the container must not be started, in a sentence. Else the stamps are kept for the job's end.

    In the cache another command may have made a link to a file, which changes its stamp: bytes count there.
    """
    settings = session.settings
    mounts = {mount.target: mount.source for mount in plan.mounts}
    paths = {name: mounts[f"{INPUTS}/{name}"] for name in stamps}
    now = {name: stamp_of(path) for name, path in paths.items()}
    changed = [name for name in sorted(paths) if now[name] != stamps[name]]
    cached = {name for name in changed if paths[name].is_relative_to(settings.inputs)}
    changed = [
        name for name in changed if name not in cached or not _has(session, paths[name], wanted.get(name))
    ]
    if changed:
        return f"input {', '.join(changed)} was changed after it was checked: the job was not started"
    kept = {name: [str(path), now[name]] for name, path in paths.items()}
    _file(settings, plan.run, plan.attempt).write_text(json.dumps(kept))
    return None


def judged_by_inputs(session: Session, run: RunRecord, attempt: int, result: Result) -> Result:
    """A run whose inputs hold other bytes at its end did not succeed: nobody knows what it read."""
    try:
        with _file(session.settings, run.id, attempt).open("rb") as stream:
            kept: dict[str, tuple[str, str]] = json.loads(stream.read(_MOST))
    except (OSError, ValueError):  # no inputs, or begun by an older release
        return result
    notes, changed = list(result.notes), []
    for name, (path, stamp) in sorted(kept.items()):
        if stamp_of(Path(path)) == stamp:
            continue
        if _has(session, Path(path), run.program.inputs.get(name)):
            if Path(path).is_relative_to(session.settings.inputs):  # a link more, or less
                continue
            notes.append(f"input {name} was touched while the job ran; at its end it has the same bytes")
        else:
            changed.append(name)
            notes.append(f"input {name} was changed while the job ran")
    ends: dict[str, object] = {"notes": tuple(notes)}
    if changed and result.state is State.SUCCEEDED:
        why = f"input {', '.join(changed)} was changed while the job ran: nobody knows what it read"
        ends |= {"state": State.FAILED, "failure": Failure.INFRASTRUCTURE, "message": why}
    return result.model_copy(update=ends)


def _has(session: Session, path: Path, digest: Digest | None) -> bool:
    try:
        return digest_of(path, session.known_hashes) == digest
    except UsageError:
        return False


def _file(settings: Settings, run: str, attempt: int) -> Path:
    """The file of the kept stamps. The job cannot reach it."""
    return folders_of(settings, run, attempt).workspace.parent / "inputs.json"
