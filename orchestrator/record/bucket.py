"""Blobs in an S3 bucket, under PREFIX/sha256/ab/abcd…, by obstore.

A put is whole or not at all there, and the same name always means the same bytes, so blobs are put without
a condition: what two writers put is equal. Endpoint, keys and region come from the variables that other
tools use (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, …). Plain http is spoken where the endpoint says http.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from orchestrator.digest import CHUNK, Digest
from orchestrator.durable import make_folder
from orchestrator.errors import StoreError, UsageError
from orchestrator.record.store import Store, Stored, hint_for

if TYPE_CHECKING:
    from obstore.store import S3Store

PART = 8 << 20  # bytes of a part of a large upload, and of what is read ahead
AT_ONCE = 8  # uploads
IN_MEMORY = 1 << 20  # bytes of a blob that waits for its upload without a file
YOUNG = timedelta(hours=1)  # a blob met again after that is put again, so that no collection takes it
PATIENCE = timedelta(seconds=60)  # with a server that does not answer, or not well

_BACKOFF: Any = {
    "init_backoff": timedelta(seconds=0.2),
    "max_backoff": timedelta(seconds=5),
    "base": 2,
}
_ADDRESS = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,62})(?:/(?P<prefix>[^\s?#]*))?\Z")


class BucketStore(Store):
    def __init__(self, address: str, spool: Path) -> None:
        super().__init__(address)
        match = _ADDRESS.match(address)
        if match is None:
            raise UsageError(
                f"REPRISE_STORE {address!r} is no address of a store", "a folder, or s3://BUCKET/PREFIX"
            )
        self.spool = spool  # where blobs wait for their upload
        self._bucket, self._prefix = match["bucket"], (match["prefix"] or "").strip("/")

    @cached_property
    def client(self) -> S3Store:
        from obstore.store import S3Store

        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
        options: dict[str, Any] = {"connect_timeout": "10s", "timeout": "60s"}
        if endpoint.startswith("http://"):
            options["allow_http"] = True
        return S3Store(
            self._bucket,
            prefix=self._prefix or None,
            client_options=cast("Any", options),
            retry_config={"max_retries": 20, "retry_timeout": PATIENCE, "backoff": _BACKOFF},
        )

    def key(self, digest: Digest) -> str:
        return f"sha256/{digest.hex[:2]}/{digest.hex}"

    def head(self, digest: Digest) -> tuple[int, datetime] | None:
        """(size in bytes, when it was put); None if it is not there."""
        import obstore

        with self._translated(f"looking for blob {digest}"):
            try:
                found = obstore.head(self.client, self.key(digest))
            except FileNotFoundError:
                return None
        return found["size"], found["last_modified"]

    def has(self, digest: Digest) -> bool:
        return self.head(digest) is not None

    def open(self, digest: Digest) -> BinaryIO:
        found = self.head(digest)
        if found is None:
            raise self._absent(digest)
        return io.BufferedReader(_Reader(self, digest, found[0]), CHUNK)

    def chunks(self, digest: Digest, offset: int) -> Iterator[memoryview]:
        """From `offset` on, in pieces as they come.

        Read from the start and passed over: what is read here is read once, from its beginning, but for a
        place in a file where two differ; and not every server answers a range as obstore demands it.
        """
        import obstore

        with self._translated(f"reading blob {digest}"):
            for chunk in obstore.get(self.client, self.key(digest)).stream(min_chunk_size=CHUNK):
                data = memoryview(bytes(chunk))
                if offset < len(data):
                    yield data[offset:]
                offset = max(0, offset - len(data))

    @contextmanager
    def file(self, digest: Digest) -> Iterator[Path]:
        make_folder(self.spool)
        with tempfile.TemporaryDirectory(dir=self.spool) as folder:
            path = Path(folder) / digest.hex
            with self.open(digest) as stream, path.open("wb") as out:
                while data := stream.read(PART):
                    out.write(data)
            path.chmod(0o444)
            Path(folder).chmod(0o755)  # a container's user reads it
            yield path

    @contextmanager
    def batch(self) -> Iterator[Uploads]:
        uploads = Uploads(self)
        try:
            yield uploads
            uploads.commit()
        except OSError as error:
            raise StoreError(f"storing into {self.name} failed: {error}", hint_for(error)) from error
        finally:
            uploads.discard()

    def put(self, digest: Digest, stream: IO[bytes], size: int) -> None:
        import obstore

        with self._translated(f"storing blob {digest}"):
            large = size > PART
            data: Any = stream if large else stream.read()
            obstore.put(self.client, self.key(digest), data, use_multipart=large, chunk_size=PART)

    def blobs(self) -> Iterator[Stored]:
        import obstore

        with self._translated("listing blobs"):
            for page in obstore.list(self.client, prefix="sha256/"):
                for found in page:
                    path = found["path"]
                    digest = Digest.parse("sha256:" + path.rpartition("/")[2])
                    if digest is not None and path != self.key(digest):
                        digest = None
                    yield Stored(path, digest, found["size"], found["last_modified"])

    def remove(self, digest: Digest, before: datetime) -> bool:
        """Looked at once more just before: S3 knows no deletion under a condition."""
        import obstore

        found = self.head(digest)
        if found is None or found[1] >= before:
            return False
        with self._translated(f"removing blob {digest}"):
            obstore.delete(self.client, self.key(digest))
        return True

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            reason = str(error).partition("\n")[0]
            hint = "check AWS_ENDPOINT_URL and the AWS keys; `reprise doctor` tries the store"
            raise StoreError(f"{self.name}: {doing}: {reason}", hint) from error


class Uploads:
    """Blobs that wait on this box for their upload. Made by BucketStore.batch."""

    def __init__(self, store: BucketStore) -> None:
        self._store = store
        self._waiting: dict[Digest, tuple[IO[bytes], int]] = {}

    def add(self, stream: BinaryIO, size: int) -> Digest:
        """Read the stream to its end, at most `size` bytes, and keep it under its digest."""
        make_folder(self._store.spool)
        spooled = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(self._store.spool))  # noqa: SIM115
        hasher, left = hashlib.sha256(), size
        while left > 0 and (chunk := stream.read(min(CHUNK, left))):
            hasher.update(chunk)
            spooled.write(chunk)
            left -= len(chunk)
        digest = Digest("sha256:" + hasher.hexdigest())
        if digest in self._waiting:
            spooled.close()
        else:
            self._waiting[digest] = (cast("IO[bytes]", spooled), size - left)
        return digest

    def commit(self) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(self._put, digest) for digest in self._waiting]:
                done.result()

    def _put(self, digest: Digest) -> None:
        stream, size = self._waiting[digest]
        found = self._store.head(digest)
        if found is None or found[0] != size or datetime.now(UTC) - found[1] > YOUNG:
            stream.seek(0)
            self._store.put(digest, stream, size)

    def discard(self) -> None:
        for stream, _ in self._waiting.values():
            stream.close()
        self._waiting.clear()


class _Reader(io.RawIOBase):
    """A blob as a raw stream; where it is read on from another place, another request begins."""

    def __init__(self, store: BucketStore, digest: Digest, size: int) -> None:
        self._store, self._digest, self._size = store, digest, size
        self._at = 0
        self._chunks: Iterator[memoryview] | None = None
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size:
            return 0
        if self._chunks is None:
            self._chunks = self._store.chunks(self._digest, self._at)
        if not self._rest:
            self._rest = next(self._chunks, memoryview(b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if start + offset != self._at:
            self._at, self._chunks, self._rest = start + offset, None, memoryview(b"")
        return self._at

    def tell(self) -> int:
        return self._at
