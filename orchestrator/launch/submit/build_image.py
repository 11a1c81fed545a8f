"""From a spec file to an assembled image: nothing is run, nothing is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import BaseNotPinnedError, UsageError
from orchestrator.image.assembly.assemble import assemble
from orchestrator.image.base.recipe import wheel_index
from orchestrator.image.base.resolve_base import resolve_base
from orchestrator.image.image_model import Base, Image
from orchestrator.launch.session import Session
from orchestrator.launch.submit.look_up_inputs import look_up_inputs
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import InputOrigin
from orchestrator.spec.input_stamps import look_at
from orchestrator.spec.inputs import InputData, read_inputs
from orchestrator.spec.jobfile.command_check import warnings
from orchestrator.spec.jobfile.job_spec import JobSpec
from orchestrator.spec.jobfile.read_job import FILE_NAME, read_spec, spec_file
from orchestrator.spec.program import program_of
from orchestrator.spec.source.read_source import read_source
from orchestrator.spec.source.source_tree import SourceTree
from orchestrator.value import Value

if TYPE_CHECKING:
    from orchestrator.image.wheels.fetch_wheels import WheelFile


class BuildRequest(Value):
    """What a person asked for: a spec file, and what the command line changes in it."""

    spec_path: Path
    params: dict[str, str] = {}
    seed: int | None = None
    inputs: dict[str, str] = {}  # in place of the file's: absolute paths, or references
    require_clean: bool = False
    key: str | None = None  # idempotency key: the same key is the same run
    reuse: bool = False  # take a run of the same digest that succeeded, where there is one
    elsewhere: bool = False  # another box will run it: its GPUs count, not this box's
    run: bool = True  # False: it is assembled only, for which no GPU is needed


class Built(Value):
    spec: JobSpec
    base: Base
    source: SourceTree
    image: Image
    inputs: dict[str, InputData] = {}
    origins: dict[str, InputOrigin] = {}  # of the inputs that were looked up in the record
    stamps: dict[str, str] = {}  # of the inputs, from before they were hashed
    warnings: tuple[str, ...] = ()  # shown while it was built; its run keeps them as notes


def build(session: Session, request: BuildRequest, watch: Watch) -> Built:
    """Read, check, assemble. The GPU is asked for first: without one nothing else is worth the wait."""
    spec = read_spec(request.spec_path, request.params, request.seed, request.inputs)
    if request.run and not request.elsewhere:
        check_gpus(spec)
    base = _base(session, spec.base, watch)
    watch.phase("source", spec.source.path)
    looked_up = look_up_inputs(session, spec.inputs)
    at_paths = {name: item for name, item in spec.inputs.items() if name not in looked_up}
    looks = {name: look_at(Path(item.path)) for name, item in at_paths.items()}
    inputs = read_inputs(at_paths, session.known_hashes, looks) if at_paths else {}
    inputs = inputs | {name: one.data for name, one in looked_up.items()}
    # A changed timeout or comment in the spec file does not make another experiment (docs/decisions/0009).
    input_paths = (Path(item.path) for item in at_paths.values())
    not_source = (*_spec_files(request.spec_path, Path(spec.source.path)), *input_paths)
    source = read_source(spec.source, exclude=not_source)
    if request.require_clean:
        refuse_dirty(source)
    wheels: tuple[WheelFile, ...] = ()
    if spec.requirements is not None:
        from orchestrator.image.wheels.fetch_wheels import fetch_wheels

        watch.phase("wheels", spec.requirements)
        index = wheel_index(session.settings, base.ref.name)
        wheels = fetch_wheels(session.settings, Path(spec.requirements), base.python, index)
    watch.phase("image", base.ref.name)
    digests = {name: data.digest for name, data in inputs.items()}
    image = assemble(session.settings, base, program_of(spec, digests), source, wheels)
    files = (file.data for file in source.files)
    noted = (*source.notes, *warnings(spec.command, spec.params, spec.env, files))
    for text in noted:
        watch.note(text)
    return Built(
        spec=spec,
        base=base,
        source=source,
        image=image,
        inputs=inputs,
        origins={name: one.origin for name, one in looked_up.items()},
        stamps={name: look.stamp for name, look in looks.items()},
        warnings=noted,
    )


def _spec_files(typed: Path, source: Path) -> tuple[Path, ...]:
    """The paths of the spec file in its source, by whatever path it was named: its folder without links; and
    where it is a link itself, what it leads to.
    """
    file = spec_file(typed)
    return file.parent.resolve() / file.name, file.resolve(), source / FILE_NAME


def _base(session: Session, name: str | None, watch: Watch) -> Base:
    try:
        return resolve_base(session.settings, name)
    except BaseNotPinnedError:
        from orchestrator.launch.move_images import base_here  # 0.1 s of imports that are seldom needed

        return base_here(session, name, watch)


def check_gpus(spec: JobSpec) -> None:
    """UsageError where the spec asks for GPUs that this box has not."""
    if spec.resources.gpus:
        from orchestrator.run.hardware import choose_gpus, gpus

        choose_gpus(spec.resources, gpus())


def refuse_dirty(source: SourceTree) -> None:
    git = source.git
    if git is None:
        raise UsageError(
            "--require-clean: the source is not in a git repository",
            "commit it to one, or leave the option out",
        )
    if git.dirty:
        raise UsageError(
            f"--require-clean: the source differs from commit {git.commit[:12]}",
            "commit or stash the changes; without the option they are kept as a patch",
        )
