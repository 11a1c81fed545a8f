"""submit: from a spec file to a recorded run."""

from __future__ import annotations

import getpass
import secrets

from orchestrator.image.model import Image
from orchestrator.launch.build import Built, BuildRequest, build
from orchestrator.launch.crash import crash_point
from orchestrator.launch.execute import execute, execute_locked
from orchestrator.launch.lock import run_lock
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.model import ImageFacts, NewRun, RunRecord
from orchestrator.run.load import ensure_loaded


def submit(session: Session, request: BuildRequest, watch: Watch) -> RunRecord:
    """Build, load, record, run. A second submission with the same key is the same run.

    The lock comes before the row: from the moment others can see the run, they see that it has an
    executor.
    """
    session.warm()
    built = build(session, request, watch)
    watch.phase("load", built.image.digest)
    ensure_loaded(session.engine, session.settings, built.image)
    new = _new_run(session, built, request.key)
    with run_lock(session.settings, new.id):
        run, created = session.record.submit(new)
        crash_point("queued")
        if created:
            return execute_locked(session, run, watch)
    watch.note(f"the key {request.key!r} is known: this is run {run}")
    return execute(session, run, watch)


def _new_run(session: Session, built: Built, key: str | None) -> NewRun:
    git = built.source.git
    if git is not None and git.patch is not None:
        git = git.model_copy(update={"patch_digest": session.store.put_bytes(git.patch), "patch": None})
    run = new_id()
    return NewRun(
        id=run,
        key=key or run,
        image=facts_of(built.image),
        program=built.image.program,
        description=built.spec.description,
        resources=built.spec.resources,
        tolerance=built.spec.tolerance,
        input_paths={name: item.path for name, item in built.spec.inputs.items()},
        git=git,
        submitted_by=person(),
        reference=built.image.tag,
    )


def facts_of(image: Image) -> ImageFacts:
    return ImageFacts(
        digest=image.digest,
        config_digest=image.config_digest,
        base=image.base,
        layers=image.layers,
    )


def new_id() -> str:
    """16 hex digits: short to type, and two in a million runs collide with odds of 1 to 37 million."""
    return secrets.token_hex(8)


def person() -> str:
    """Who submits, as the machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
