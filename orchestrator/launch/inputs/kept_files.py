"""The files of folders that the record names: what no row names by itself, and is needed all the same.

Rows hold a folder's list only where it is short, so the lists themselves are read, out of the store. Their
digests go into a file on disk: a thousand folders of a hundred thousand files would fill the memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain

from orchestrator.digest import Digest
from orchestrator.launch.session import Session
from orchestrator.record.store.blob_store import AbsentBlobError, DamagedBlobError
from orchestrator.record.store.input_trees import files_of, is_folder
from orchestrator.scratch import scratch_folder


class KeptFiles:
    """Digests of files that belong to folders of input data. Made by `kept_files`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TABLE file (hash BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, hexes: Iterable[str]) -> None:
        rows = ((bytes.fromhex(hex_),) for hex_ in hexes)
        self._connection.executemany("INSERT OR IGNORE INTO file VALUES (?)", rows)

    def among(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those of the digests that are such a file's."""
        query = "SELECT 1 FROM file WHERE hash = ?"
        return {
            digest
            for digest in digests
            if self._connection.execute(query, (bytes.fromhex(digest.hex),)).fetchone() is not None
        }


@contextmanager
def kept_files(
    session: Session, more: Iterable[Digest] = (), *, damaged: bool = False
) -> Iterator[KeptFiles]:
    """All of them, as the store has the lists now. `more`: folders beside those that rows name.

    StoreError: a list is damaged, so nothing says what it names; with `damaged` it is left out.
    """
    with (
        scratch_folder("reprise-lists-") as folder,
        closing(sqlite3.connect(folder / "files", isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("BEGIN")  # never committed: the file goes when all is read
        found = KeptFiles(connection)
        for digest in chain(session.record.everything.input_roots(), more):
            try:
                if is_folder(session.store, digest):
                    found.add(entry.hex for entry in files_of(session.store, digest))
            except AbsentBlobError:  # it was never put there
                continue
            except DamagedBlobError:
                if not damaged:
                    raise
        yield found
