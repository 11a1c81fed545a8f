"""Files on a disk that is going: they are opened, and have a size, and then the disk gives errors."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from orchestrator.record.store import answer_limit, folder_store


def _fails() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


class Torn(io.BytesIO):
    """The first read gives what it asks for, any other one an error."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise _fails()
        return super().read(size)


class _Failing(io.FileIO):
    def readinto(self, _buffer: Any, /) -> int:
        raise _fails()

    def readall(self) -> bytes:
        raise _fails()


def fail_to_read_blobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every blob of every store that is a folder is such a file."""

    class Blob(folder_store._BlobFile, _Failing):
        """The store's own code, over a file that fails."""

    monkeypatch.setattr(folder_store, "_BlobFile", Blob)


@contextmanager
def hanging_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Until the block ends no store that is a folder answers: what it was asked. Who waits for an answer only
    so long is told after a moment.
    """
    asked: list[object] = []
    over = threading.Event()

    def hang(_store: folder_store.BlobStore, digest: object) -> None:
        asked.append(digest)
        over.wait(60)
        raise _fails()

    with monkeypatch.context() as patched:
        patched.setattr(folder_store.BlobStore, "_has", hang)
        patched.setattr(folder_store.BlobStore, "_open", hang)
        patched.setattr(answer_limit, "ANSWER", 0.2)
        yield asked
        over.set()
