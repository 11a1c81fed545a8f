"""Inputs of a run that other boxes may execute: into the store, as far as this box has them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.launch.inputs import upload_input
from orchestrator.launch.inputs.fetch_input import materialised
from orchestrator.launch.inputs.upload_input import put_input
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import NewRun
from orchestrator.spec.inputs import InputData, read_input
from orchestrator.spec.jobfile.job_spec import InputSpec


def share_inputs(
    session: Session, inputs: Mapping[str, InputSpec], data: Mapping[str, InputData], watch: Watch
) -> None:
    """Put the inputs of a job file into the store; `data`: as they were read just now, by name.

    UsageError: one changes meanwhile. StoreError.
    """
    stored: list[tuple[Path, InputData]] = []
    began = time.monotonic()
    for name, item in sorted(inputs.items()):
        if item.upload:
            read = data[name]
            put_input(session, Path(item.path), watch, data=read, thorough=session.rehash)
            stored.append((Path(item.path), read))
        else:
            watch.note(
                f"input {name} stays here (upload: false): a box without the same bytes at {item.path} needs "
                f"--input {name}=PATH"
            )
    # No row names them before the run's own: while a later one went, a collection can have taken the first.
    while len(stored) > 1 and time.monotonic() - began >= upload_input.SOON:
        began = time.monotonic()
        for path, read in stored:
            put_input(session, path, watch, data=read)


def offer_inputs(session: Session, new: NewRun, given: Iterable[str], watch: Watch) -> None:
    """Make sure that another box can get the inputs of a rerun, from wherever this box has them.

    UsageError where nobody is known to have one.
    """
    given = set(given)
    for name, digest in sorted(new.program.inputs.items()):
        path = Path(new.input_paths[name]) if name in new.input_paths else None
        if name not in given and session.store.has(digest):
            continue
        trouble = _put(session, path, digest, watch) if path is not None else "it has no path"
        if not trouble:
            continue
        if name in given:
            raise UsageError(f"input {name}: {trouble}", f"--input {name}=PATH")
        if session.inputs.has(digest):
            with materialised(session, digest, watch) as copy:
                put_input(session, copy, watch)
            continue
        if path is None:
            raise UsageError(
                f"nobody is known to have input {name}, {digest}: it is neither here nor in the store "
                f"{session.store.name}",
                f"--input {name}=PATH, where it is; or submit the job once where the data is",
            )
        watch.note(
            f"input {name} is neither here nor in the store: only a box that has {digest.short} at {path}, "
            "or in its cache, can run this"
        )


def _put(session: Session, path: Path, digest: Digest, watch: Watch) -> str:
    """Why the path cannot be taken; empty where it has these bytes, which are in the store then."""
    try:
        data = read_input(path, session.known_hashes)
    except UsageError as error:
        return error.message
    if data.digest != digest:
        return f"{path} is {data.digest}, not {digest}"
    put_input(session, path, watch, data=data)
    return ""
