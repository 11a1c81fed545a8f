"""The box's own copy of the tree heads that it signed, beside its key: out of reach of the database's owner.

Whoever rewrites the ledger and its tree heads in the database cannot rewrite these files, so the next audit
on this box finds it without any witness. The file `ledgers` says which database held which ledger: the audit
finds a ledger that was put in another's place, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from orchestrator.audit.heads.signed_note import is_complete, split_notes, whole_notes
from orchestrator.durable import locked, make_folder, write_bytes
from orchestrator.settings import Settings

LIMIT = 1 << 20  # bytes; beyond that the older half is removed: newer tree heads cover more events


def local_path(settings: Settings, origin: str) -> Path:
    return settings.home / "keys" / f"checkpoints-{re.sub(r'[^A-Za-z0-9]', '-', origin)}"


def ledgers_path(settings: Settings) -> Path:
    """Lines of `ORIGIN DATABASE`."""
    return settings.home / "keys" / "ledgers"


def keep_head(settings: Settings, database: str, origin: str, note: str) -> None:
    """Append a note that this box has just signed. `database`: its address, without a password.

    A note that a full disk or the end of the machine cut off goes first: with it, the next one would read as
    one that nobody signed.
    """
    path = local_path(settings, origin)
    make_folder(path.parent)
    with locked(path.parent):
        with path.open("a+b") as stream:
            stream.seek(0)
            data = stream.read()
            stream.truncate(len(whole_notes(data)))
            stream.write(note.encode())
            stream.flush()
            os.fsync(stream.fileno())
            size = stream.tell()
        if size > LIMIT:
            notes = split_notes(path.read_text(encoding="utf-8"))
            write_bytes(path, "".join(notes[len(notes) // 2 :]).encode(), 0o600)
        if origin not in kept_origins(settings, database):
            with ledgers_path(settings).open("a", encoding="utf-8") as stream:
                stream.write(f"{origin} {database}\n")


def kept_origins(settings: Settings, database: str) -> list[str]:
    """Ledgers of which this box signed tree heads in a database."""
    path = ledgers_path(settings)
    pairs = (line.partition(" ") for line in _text_of(path).splitlines())
    return [origin for origin, _, named in pairs if named == database]


def kept_heads(settings: Settings, origin: str) -> Sequence[str]:
    """This box's copies of the notes, without a last one that was cut off."""
    path = local_path(settings, origin)
    notes = split_notes(_text_of(path))
    return notes if notes and is_complete(notes[-1]) else notes[:-1]


def _text_of(path: Path) -> str:
    """Nothing where there is no file; one that cannot be read is an error, not an empty copy."""
    try:
        return path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""
