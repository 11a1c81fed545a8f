"""The box's own copy of the checkpoints that it signed, beside its key: out of reach of the database's owner.

Whoever rewrites the ledger and its checkpoints in the database has not got this file, so the next audit on
this box finds it, without any witness.
"""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.durable import make_folder
from orchestrator.settings import Settings

LIMIT = 1 << 20  # bytes; then the older half goes: the newest hold the most


def local_path(settings: Settings, origin: str) -> Path:
    return settings.home / "keys" / f"checkpoints-{re.sub(r'[^A-Za-z0-9]', '-', origin)}"


def keep_checkpoint(settings: Settings, origin: str, note: str) -> None:
    """Append a note that this box has just signed."""
    path = local_path(settings, origin)
    make_folder(path.parent)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(note)
    if path.stat().st_size > LIMIT:
        _shorten(path)


def _shorten(path: Path) -> None:
    from orchestrator.audit.note import split_notes
    from orchestrator.durable import write_bytes

    notes = split_notes(path.read_text(encoding="utf-8"))
    write_bytes(path, "".join(notes[len(notes) // 2 :]).encode(), 0o600)


def kept_checkpoints(settings: Settings, origin: str) -> tuple[Path, ...]:
    path = local_path(settings, origin)
    return (path,) if path.is_file() else ()
