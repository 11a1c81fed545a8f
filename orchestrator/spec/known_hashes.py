"""Hashes that are remembered: a file with the same device, inode, size and times is not read again.

Only root, or a clock that is set back, can give a file that was written its earlier times. One more case is
left: a file that is written twice within one tick of the file system's clock, and read in between. git
calls such an entry racily clean. So nothing is believed of a file that was changed less than MARGIN before it
was read; it is read again next time. The moment comes from the file system itself (docs/data.md).

The file is this box's own, below its home; without it, or where it is damaged, all is read.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from orchestrator.durable import make_folder

MARGIN = 2_000_000_000  # nanoseconds: FAT's clock ticks every two seconds, others' every few milliseconds
MOST = 3_000_000  # files that are remembered, in some 300 MB
_AT_ONCE = 500  # files in one query
_PATIENCE = 10  # seconds for another process that writes

_TABLES = """
CREATE TABLE IF NOT EXISTS file (
    device INTEGER, inode INTEGER, size INTEGER, written INTEGER, changed INTEGER, hash BLOB, used INTEGER,
    PRIMARY KEY (device, inode)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tree (stamp TEXT PRIMARY KEY, document BLOB, used INTEGER) WITHOUT ROWID;
"""
_KEEP_FILE = "INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?)"
_KEEP_TREE = "INSERT OR REPLACE INTO tree VALUES (?, ?, ?)"
_KNOWN_FILES = "SELECT inode, size, written, changed, hash FROM file WHERE device = ? AND inode IN (MARKS)"
_DROP_FILES = "DELETE FROM file WHERE used <= (SELECT used FROM file ORDER BY used LIMIT 1 OFFSET ?)"
_DROP_TREES = "DELETE FROM tree WHERE stamp NOT IN (SELECT stamp FROM tree ORDER BY used DESC LIMIT 1000)"


class KnownHashes:
    """Hashes of files and documents of whole folders, by what the file system says of them."""

    def __init__(self, path: Path, *, rehash: bool = False) -> None:
        """`rehash`: believe nothing that was kept, and keep what is read now."""
        self.path, self._rehash = path, rehash
        self._lock = threading.Lock()
        self._learnt: list[tuple[int, int, int, int, int, bytes]] = []
        self._connection: sqlite3.Connection | None = None

    def moment(self) -> int:
        """Now, in nanoseconds, by the clock that dates files. 0: it cannot be told, and none is kept."""
        clock = self.path.with_name(f"{self.path.name}.clock")  # one file for all, so that no kill leaves one
        try:
            make_folder(self.path.parent)
            clock.touch(0o600)
            return clock.stat().st_mtime_ns  # or of one more touch since: before anything is read, too
        except OSError:
            return 0

    def file(self, found: os.stat_result) -> str | None:
        """The SHA-256 in hex of the file with these facts; None where it must be read."""
        with self._lock:
            row = self._rows("SELECT size, written, changed, hash FROM file WHERE device = ? AND inode = ?",
                             (_signed(found.st_dev), _signed(found.st_ino)))  # fmt: skip
        if not row or row[0][:3] != (found.st_size, found.st_mtime_ns, found.st_ctime_ns):
            return None
        return bytes(row[0][3]).hex()

    def files(self, found: Mapping[str, os.stat_result]) -> dict[str, str]:
        """As `file`, for many at once: name -> SHA-256, of those that are known."""
        names = list(found)
        return {
            name: hex_
            for start in range(0, len(names), _AT_ONCE)
            for name, hex_ in self._some({name: found[name] for name in names[start : start + _AT_ONCE]})
        }

    def _some(self, found: Mapping[str, os.stat_result]) -> Iterator[tuple[str, str]]:
        for device in {one.st_dev for one in found.values()}:
            inodes = [_signed(one.st_ino) for one in found.values() if one.st_dev == device]
            marks = ",".join("?" * len(inodes))
            query = _KNOWN_FILES.replace("MARKS", marks)
            with self._lock:
                rows = {row[0]: row[1:] for row in self._rows(query, (_signed(device), *inodes))}
            for name, one in found.items():
                row = rows.get(_signed(one.st_ino)) if one.st_dev == device else None
                if row and row[:3] == (one.st_size, one.st_mtime_ns, one.st_ctime_ns):
                    yield name, bytes(row[3]).hex()

    def learn(self, found: os.stat_result, hex_: str, moment: int) -> None:
        """Keep a file's hash, read at `moment` or later, unless the file was changed just before that."""
        if max(found.st_mtime_ns, found.st_ctime_ns) >= moment - MARGIN:
            return
        facts = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        with self._lock:
            self._learnt.append((_signed(found.st_dev), _signed(found.st_ino), *facts, bytes.fromhex(hex_)))

    def tree(self, stamp: str) -> bytes | None:
        """The document that was kept for a whole input with this stamp."""
        with self._lock:
            row = self._rows("SELECT document FROM tree WHERE stamp = ?", (stamp,))
        return bytes(row[0][0]) if row else None

    def learn_tree(self, stamp: str, newest: int, document: bytes, moment: int) -> None:
        """Keep a document for a whole input, whose newest time is `newest`."""
        if stamp and newest < moment - MARGIN:
            row = (stamp, document, moment)
            with self._lock:
                self._write(lambda connection: connection.execute(_KEEP_TREE, row))

    def save(self, moment: int) -> None:
        """Write down what was learnt."""
        with self._lock:
            rows, self._learnt = [(*row, moment) for row in self._learnt], []
            if rows:
                self._write(lambda connection: connection.executemany(_KEEP_FILE, rows))
                self._write(_forget)

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """Empty where the file cannot be read: then the input is."""
        if self._rehash:
            return []
        with suppress(sqlite3.Error, OSError):
            return self._opened().execute(query, values).fetchall()
        return []

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """What cannot be kept (a full disk, a lock held for long) costs time later, and is no reason to end
        a run now: it is read again next time. A damaged file is begun anew."""
        with suppress(sqlite3.OperationalError, OSError):
            try:
                with self._opened() as connection:
                    work(connection)
            except sqlite3.OperationalError:  # not damaged
                raise
            except sqlite3.DatabaseError:
                self._connection = None
                self.path.unlink(missing_ok=True)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            make_folder(self.path.parent)
            connection = sqlite3.connect(self.path, timeout=_PATIENCE, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_TABLES)
            self._connection = connection
        return self._connection


def _forget(connection: sqlite3.Connection) -> None:
    """Drop the half that was longest not learnt, where there are more than MOST."""
    count = connection.execute("SELECT count(*) FROM file").fetchone()[0]
    if count > MOST:
        connection.execute(_DROP_FILES, (count // 2,))
    connection.execute(_DROP_TREES)


def _signed(number: int) -> int:
    """As SQLite's integers are."""
    return number - (1 << 64) if number >= 1 << 63 else number
