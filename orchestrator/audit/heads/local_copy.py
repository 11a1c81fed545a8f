"""The box's own copy of the tree heads that it signed, beside its key: out of reach of the database's owner.

Whoever rewrites the ledger and its tree heads in the database has not got these files, so the next audit on
this box finds it, without any witness. `ledgers` says which database held which ledger: a ledger that is put
in the place of another one, with a name of its own, is found, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from orchestrator.audit.heads.signed_note import split_notes
from orchestrator.durable import make_folder, write_bytes
from orchestrator.settings import Settings

LIMIT = 1 << 20  # bytes; then the older half goes: the newest hold the most


def local_path(settings: Settings, origin: str) -> Path:
    return settings.home / "keys" / f"checkpoints-{re.sub(r'[^A-Za-z0-9]', '-', origin)}"


def ledgers_path(settings: Settings) -> Path:
    """Lines of `ORIGIN DATABASE`."""
    return settings.home / "keys" / "ledgers"


def keep_head(settings: Settings, database: str, origin: str, note: str) -> None:
    """Append a note that this box has just signed. `database`: its address, without a password."""
    path = local_path(settings, origin)
    make_folder(path.parent)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(note)
    if path.stat().st_size > LIMIT:
        notes = split_notes(path.read_text(encoding="utf-8"))
        write_bytes(path, "".join(notes[len(notes) // 2 :]).encode(), 0o600)
    if origin not in kept_origins(settings, database):
        with ledgers_path(settings).open("a", encoding="utf-8") as stream:
            stream.write(f"{origin} {database}\n")


def kept_origins(settings: Settings, database: str) -> list[str]:
    """Ledgers of which this box signed tree heads in a database."""
    path = ledgers_path(settings)
    lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
    pairs = (line.partition(" ") for line in lines)
    return [origin for origin, _, named in pairs if named == database]


def kept_heads(settings: Settings, origin: str) -> Sequence[str]:
    """This box's copies of the notes, without one at the end that was cut off."""
    path = local_path(settings, origin)
    if not path.is_file():
        return ()
    notes = split_notes(path.read_text("utf-8", "replace"))
    whole = bool(notes) and notes[-1].endswith("\n") and "\n\n— " in notes[-1]
    return notes if whole else notes[:-1]
