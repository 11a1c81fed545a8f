"""submit: from a spec file to a recorded run."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrator.image.image_model import Image
from orchestrator.launch.crash_points import crash_point
from orchestrator.launch.dispatch.choose_place import here
from orchestrator.launch.dispatch.hand_over import queue, share_image
from orchestrator.launch.execute.attempt_plan import Terms
from orchestrator.launch.execute.execute_attempt import execute, execute_locked
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.inputs.share_inputs import share_inputs
from orchestrator.launch.session import Session
from orchestrator.launch.submit.build_image import BuildRequest, Built, build
from orchestrator.launch.submit.earlier_run import earlier_run
from orchestrator.launch.submit.rerun_target import facts_of
from orchestrator.launch.watch import Watch
from orchestrator.payload.determinism.torch_settings import SETTING_NAMES
from orchestrator.record.run_record import NewRun, RunRecord, Wanted, new_id
from orchestrator.record.runs.author import person
from orchestrator.run.attempt_model import Plan
from orchestrator.run.engine.engine_info import EngineInfo
from orchestrator.run.engine.load_image import ensure_loaded
from orchestrator.run.hardware import choose_gpus, gpus, home_id
from orchestrator.run.plan import plan_container
from orchestrator.run.workspace import folders_of
from orchestrator.value import Value

NOTED_BY = "reprise"  # in place of a person


def submit(session: Session, request: BuildRequest, watch: Watch) -> RunRecord:
    """Build, push where a registry is set, load, record, run. The same key again is the same run.

    The lock comes before the row: from the moment others can see the run, they see that it has an
    executor.
    """
    session.warm()
    built = build(session, request, watch)
    if (before := earlier_run(session, built.image.digest, request.reuse, watch)) is not None:
        return before
    with ThreadPoolExecutor(1) as beside:  # the store waits for its disk, the rest for registry and engine
        tried = beside.submit(session.try_store)
        try:
            info = _hand_over(session, built.image, watch)
        finally:
            tried.result()
    if session.settings.shares_store:
        _share(session, built, watch)
    new = _new_run(session, built, request.key, here(session))
    with run_lock(session.settings, new.id):
        run, created = session.record.submit(new)
        crash_point("queued")
        if created:
            _keep_warnings(session, run, built)
            known = _known(built, info)
            return execute_locked(session, run, watch, known)
    watch.note(f"the key {request.key!r} is known: this is run {run}")
    return execute(session, run, watch)


def _known(built: Built, info: EngineInfo) -> Terms:
    """What was made sure of while the image was built. Inputs that were looked up are not here yet."""
    inputs, stamps = (None, None) if built.origins else (paths_of(built), built.stamps)
    return Terms(inputs, stamps, built.image, info)


def submit_elsewhere(
    session: Session, request: BuildRequest, wanted: Wanted, watch: Watch, *, detach: bool
) -> RunRecord:
    """Build, push, record; another box executes it, so this one needs no engine. Waits for its end, unless
    `detach`.
    """
    session.warm()
    built = build(session, request.model_copy(update={"elsewhere": True}), watch)
    if (before := earlier_run(session, built.image.digest, request.reuse, watch)) is not None:
        return before
    new = _new_run(session, built, request.key, wanted)
    _share(session, built, watch)
    share_image(session, new, watch)
    run, created = queue(session, new, watch)
    if created:
        _keep_warnings(session, run, built)
    else:
        watch.note(f"the key {request.key!r} is known: this is run {run}")
    if detach:
        return session.record.run(run)
    from orchestrator.launch.dispatch.await_run import wait

    return wait(session, run, watch)


def _share(session: Session, built: Built, watch: Watch) -> None:
    """Inputs that were looked up are in the store."""
    at_paths = {name: item for name, item in built.spec.inputs.items() if name not in built.origins}
    share_inputs(session, at_paths, built.inputs, watch)


def _hand_over(session: Session, image: Image, watch: Watch) -> EngineInfo:
    """To the registry, where one is set, and to this box's engine, if that is fit for runs."""
    info = session.engine.info()
    info.refuse_unfit()
    if session.settings.registry is not None:
        from orchestrator.launch.move_images import push_image

        push_image(session, image, watch)
    watch.phase("load", image.digest)
    load(session, image, watch)
    return info


def load(session: Session, image: Image, watch: Watch) -> None:
    """Load an image that was built here. Its base comes from a registry where only that has it."""

    def fetch() -> None:
        from orchestrator.launch.move_images import fetch_base

        fetch_base(session, image, watch)

    ensure_loaded(session.engine, session.settings, image, fetch)


def paths_of(built: Built) -> dict[str, Path]:
    """Where the inputs lie that were hashed while the image was built."""
    return {name: Path(item.path) for name, item in built.spec.inputs.items() if name not in built.origins}


def _new_run(session: Session, built: Built, key: str | None, wanted: Wanted) -> NewRun:
    git = built.source.git
    if git is not None and git.patch is not None:
        git = git.model_copy(update={"patch_digest": session.store.put_bytes(git.patch), "patch": None})
    return NewRun.of(
        facts_of(built.image),
        key,
        program=built.image.program,
        description=built.spec.description,
        resources=built.spec.resources,
        tolerance=built.spec.tolerance,
        input_paths={name: str(path) for name, path in paths_of(built).items()},
        input_origins=built.origins,
        git=git,
        submitted_by=person(),
        reference=built.image.tag,
        wanted=wanted,
        inputs=tuple(built.inputs.values()),
    )


def _keep_warnings(session: Session, run: str, built: Built) -> None:
    for text in built.warnings:
        session.record.annotations.note(run, text, NOTED_BY)


class DryRun(Value):
    """What `submit` would do."""

    built: Built
    plan: Plan
    settings: dict[str, str]  # environment of the image that determinism needs


def dry_run(session: Session, request: BuildRequest, watch: Watch) -> DryRun:
    """Build and plan. The run's id is only an example, and no folder is made for it."""
    built = build(session, request, watch)
    spec, program, settings = built.spec, built.image.program, session.settings
    run = new_id()
    plan = plan_container(
        run=run,
        attempt=1,
        image=built.image.tag,
        program=program,
        resources=spec.resources,
        folders=folders_of(settings, run, 1),
        inputs=paths_of(built) | {name: settings.inputs / name for name in built.origins},
        gpus=choose_gpus(spec.resources, gpus()) if program.gpus else (),
        engine=session.engine.info(),
        home=home_id(settings),
    )
    return DryRun(built=built, plan=plan, settings=settings_of(built.image.config))


def settings_of(config: bytes) -> dict[str, str]:
    """The determinism settings among an image's environment."""
    pairs = (pair.partition("=") for pair in json.loads(config)["config"]["Env"])
    return {name: value for name, _, value in pairs if name in SETTING_NAMES}
