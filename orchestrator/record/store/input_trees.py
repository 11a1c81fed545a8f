"""Input data in the store: a file is one blob; a folder is its list, and a blob for each of its files.

The list's digest is the folder's digest (spec/folder_list.py), so the digest alone says which blobs belong to
it, and no table does. The bytes alone say whether a digest is a file's or a folder's: no file is taken as an
input whose bytes are such a list (spec/inputs.py).

Files come before their list. So a list that a row names, and that is there, has its files there, too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple, cast

from orchestrator.digest import Digest, Hashed, Readable
from orchestrator.errors import StoreError, UsageError
from orchestrator.record.store.blob_store import Store
from orchestrator.spec.folder_list import FileEntry, is_list, list_chunks, may_be_list, read_list

_SPOOLED = 16 << 20  # bytes of a list that are held in memory


class HeldList(NamedTuple):
    """The list of a folder, to be stored after its files. Made by `held_list`."""

    stream: BinaryIO
    size: int  # bytes
    digest: Digest

    def put(self, store: Store) -> None:
        self.stream.seek(0)
        with store.batch() as batch:
            batch.add(self.stream, self.size)


@contextmanager
def held_list(entries: Iterable[tuple[str, str, int]]) -> Iterator[HeldList]:
    """The list of a folder, sorted by the paths' bytes: [path, SHA-256 in hex, size in bytes].

    UsageError for a list that reading refuses: by its digest, others would take it for a file. So this comes
    before the first byte of its files goes anywhere.
    """
    with tempfile.SpooledTemporaryFile(_SPOOLED) as held:
        passing = Hashed(list_chunks(entries))
        held.writelines(passing)
        held.seek(0)
        _refuse_unreadable(held)
        yield HeldList(cast("BinaryIO", held), passing.size, passing.digest)


def _refuse_unreadable(held: Readable) -> None:
    try:
        for _ in read_list(held):
            pass
    except ValueError as error:
        raise UsageError(
            f"the folder cannot be put into a store: {error}",
            "divide it into several inputs; or `upload: false` in the job file, and it stays on this box",
        ) from None


def is_folder(store: Store, digest: Digest) -> bool:
    """Whether the blob is the list of a folder. StoreError: it is not there, or damaged, or none answers."""
    with store.open(digest) as stream:
        start, size = stream.read(3), stream.seek(0, 2)
        if not may_be_list(start, size):
            return False
        stream.seek(0)
        found = is_list(stream)
    store.verify(digest)
    return found


def files_of(store: Store, digest: Digest) -> Iterator[FileEntry]:
    """The files of a folder, as its list has them; checked before the first is given.

    StoreError: the list is not there, has other bytes, or is not a list of files.
    """
    with tempfile.SpooledTemporaryFile(_SPOOLED) as held:
        for chunk in store.chunks_of(digest):
            held.write(chunk)
        held.seek(0)
        try:
            yield from read_list(held)
        except ValueError as error:
            raise StoreError(f"blob {digest} in {store.name}: {error}") from None
