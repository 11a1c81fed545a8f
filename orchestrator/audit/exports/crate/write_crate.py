"""`export --format ro-crate`: a run with its files as a research object, which other tools read."""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path

from orchestrator.audit.attestations.attest_run import sound_verdicts
from orchestrator.audit.exports.crate.crate_files import (
    METADATA,
    CrateFile,
    Role,
    input_parts,
    refuse_existing_crate,
    run_parts,
    write_files,
)
from orchestrator.audit.exports.crate.crate_graph import metadata
from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.image.registry.repository import read_place
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import RunRecord
from orchestrator.value import Value


class CrateRequest(Value):
    path: Path  # a folder, or FILE.zip
    inputs: bool = False  # take the input data along
    input_paths: dict[str, Path] = {}  # where inputs lie, if not where they lay
    licence: str | None = None  # an address, or a text
    force: bool = False  # replace a zip file that is there


class Crated(Value):
    path: Path
    run: str
    files: int
    size: int  # bytes of all files
    left_out: tuple[str, ...]  # in words


def write_crate(session: Session, run: RunRecord, request: CrateRequest, watch: Watch) -> Crated:
    """Write a finished run as an RO-Crate. The same run with the same verdicts gives the same bytes.

    UsageError: the run is open, something is in the way, an input is not to be found. StoreError: bytes are
    missing or damaged; nothing is left then.
    """
    if not run.state.final:
        raise UsageError(f"run {run.id} is {run.state.value}", "wait for its end: `reprise logs -f` follows")
    refuse_existing_crate(request.path, request.force)
    watch.phase("export", run.id)
    parts, left_out = run_parts(session, run, watch)
    place = read_place(session.settings.registry) if session.settings.registry else None
    said, unsaid = _without_untrue_origins(session, run)
    with ExitStack() as held:
        if request.inputs or request.input_paths:
            parts += held.enter_context(input_parts(session, run, request.input_paths))
        parts.sort(key=lambda part: part.path)
        data = metadata(said, parts, sound_verdicts(session, said), request.licence, place)
        files = [_metadata_file(data), *parts]
        size = write_files(request.path, files, request.force, watch)
    left_out += unsaid
    return Crated(path=request.path, run=run.id, files=len(files), size=size, left_out=tuple(left_out))


def _without_untrue_origins(session: Session, run: RunRecord) -> tuple[RunRecord, list[str]]:
    """The run without origins of inputs that this record knows to be untrue; and a sentence on each."""
    untrue = session.record.history.untrue_origins(run.id)
    origins = {name: origin for name, origin in run.input_origins.items() if name not in untrue}
    said = [
        f"origin of input {name} (said to be {run.input_origins[name].reference}, which is other bytes here)"
        for name in sorted(untrue)
    ]
    return run.model_copy(update={"input_origins": origins}), said


def _metadata_file(data: bytes) -> CrateFile:
    return CrateFile(METADATA, Role.PROGRAM, METADATA, Digest.of(data), len(data), lambda: io.BytesIO(data))
