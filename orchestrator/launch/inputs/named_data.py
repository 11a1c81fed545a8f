"""Data that has a name: put into the store and named, found again by its name or its digest, copied out."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.launch.inputs.fetch_input import AbsentInputError, copy_out
from orchestrator.launch.inputs.upload_input import put_input
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.data_sets.data_model import DataVersion
from orchestrator.record.runs.author import person
from orchestrator.spec.jobfile.input_reference import DATA, DATA_FORM, DataReference, read_reference
from orchestrator.spec.lfs_pointer import refuse_pointers

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_RULE = "letters, digits, dot, dash and underscore, a letter or digit first, at most 100"


def add_data(session: Session, path: Path, name: str | None, watch: Watch) -> tuple[DataVersion, bool]:
    """Put a file or folder into the store and name it: (its version, whether that is a new one).

    Without a name it gets the path's last part. UsageError: no name, or nothing that can be an input.
    """
    called = name if name is not None else path.absolute().name
    if not _NAME.match(called):
        raise UsageError(f"{called!r} cannot be a name of data", f"--name NAME: {_RULE}")
    refuse_pointers(path)
    data = put_input(session, path, watch)
    return session.record.data_sets.add(called, data, person())


def find_data(session: Session, text: str) -> DataVersion:
    """`NAME` or `NAME@VERSION`, with `data:` before it or not. UsageError says what there is instead."""
    try:
        reference = read_reference(DATA + text.removeprefix(DATA))
    except ValueError:
        raise UsageError(f"{text[:100]!r} is no name of data", f"write {DATA_FORM}") from None
    assert isinstance(reference, DataReference)  # noqa: S101  (it begins so)
    return session.record.data_sets.find(reference.name, reference.version)


def get_data(session: Session, text: str, target: Path, watch: Watch) -> tuple[Digest, DataVersion | None]:
    """Copy named data, or any input that the store has by its digest, to a path that does not exist yet.

    The digest, and the version that was asked for by name. UsageError: unknown, or something is in the way.
    """
    digest = Digest.parse(text.lower())
    version = None
    if digest is None and text.startswith("sha256:"):
        raise UsageError(f"{text[:100]!r} is no whole digest", "sha256: and all 64 hex digits")
    if digest is None:
        version = find_data(session, text)
        digest = version.digest
    try:
        copy_out(session, digest, target, watch)
    except AbsentInputError as error:
        what = f"data {version.reference}" if version is not None else f"input {digest}"
        hint = "`reprise data list` names what is there"
        if version is not None:
            hint = f"`reprise data add PATH --name {version.name}` puts its bytes there once more"
        raise UsageError(f"{session.store.name} has not the bytes of {what}", hint) from error
    return digest, version
