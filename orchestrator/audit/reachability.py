"""Outages, as against alterations: what cannot be reached says nothing of the record."""

from __future__ import annotations

from orchestrator.audit.findings import Finding, Kind
from orchestrator.errors import EngineMissingError, RecordError, RepriseError, StoreError
from orchestrator.image.registry.registry_client import SilentError
from orchestrator.record.runs.unreadable_rows import WRONG, UnreadableError
from orchestrator.record.store.blob_store import AlteredStoreError

# What SQLite says of a damaged file, and of a missing table or column.
_DAMAGE = ("malformed", "not a database", "no such table", "no such column", "no such index", "encrypted")


def is_away(error: BaseException) -> bool:
    """Whether an error means that database, store, engine, registry or disk could not be read."""
    if isinstance(error, RecordError):
        damaged = isinstance(error, UnreadableError) or isinstance(error.__cause__, WRONG)
        return not damaged and not any(word in error.message for word in _DAMAGE)
    if isinstance(error, StoreError):
        return not isinstance(error, AlteredStoreError)
    return isinstance(error, OSError | EngineMissingError | SilentError)


def out_of_reach(subject: str, error: BaseException) -> Finding:
    text = error.message if isinstance(error, RepriseError) else str(error)
    hint = error.hint if isinstance(error, RepriseError) else None
    detail = " ".join(text.split())[:500] + (f" ({hint})" if hint else "")
    return Finding(kind=Kind.OUT_OF_REACH, subject=subject, detail=detail)
