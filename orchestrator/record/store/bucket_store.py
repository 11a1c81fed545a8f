"""Blobs in an S3 bucket, under PREFIX/sha256/ab/abcd…, by obstore.

A put is whole or not at all there, and the same name always means the same bytes, so blobs are put without
a condition: what two writers put is equal. Endpoint, keys and region come from the variables that other
tools use (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, …). Plain http is spoken where the endpoint says http.

S3 has no deletion under a condition. So a collection says that it is at work, by an object under PREFIX/gc/,
before it looks at the age of what it removes; a batch looks for such objects after its puts, waits for them
to go, and puts again what went with them (docs/decisions/0015-garbage.md).
"""

from __future__ import annotations

import io
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from orchestrator.digest import CHUNK, Digest
from orchestrator.errors import StoreError, UsageError
from orchestrator.record.store.blob_store import LEDGER_TEXT, Store, Stored, StoreOwner
from orchestrator.record.store.direct_uploads import DirectUploads
from orchestrator.record.store.pending_uploads import YOUNG, BucketBatch
from orchestrator.record.store.process_folder import remove_dead, temporaries
from orchestrator.record.store.ranged_reads import PIECE, RangedReads
from orchestrator.redaction import bare_address

if TYPE_CHECKING:
    from obstore.store import S3Store

PART = 8 << 20  # bytes of a part of a large upload, and of what is read ahead
PARTS = 9000  # of one upload; S3 takes 10,000
ALONGSIDE = 2  # parts of one upload
PATIENCE = timedelta(seconds=60)  # with a server that does not answer, or fails
SILENCE = timedelta(seconds=60)  # of a server that was asked
LONGEST = timedelta(days=1)  # for the bytes of one blob, where the server gives them by one request only
REMOVING = timedelta(seconds=60)  # a page's removals begin within that, or not at all
# For somebody's removals to end: the last one begins within REMOVING and is given up after PATIENCE and the
# time of one request.
WAIT = REMOVING + PATIENCE + timedelta(seconds=120)

_BACKOFF: Any = {
    "init_backoff": timedelta(seconds=0.2),
    "max_backoff": timedelta(seconds=5),
    "base": 4,  # each pause is drawn from the first one to so many times the last
}
_ADDRESS = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,62})(?:/(?P<prefix>[^\s?#]*))?\Z")
_LIES = "look at the server: its disk, what stands between, its log"
_AT_WORK = "gc/"
_LEDGERS = "ledgers/"
_TRIAL, _CLOCK = "trial/", "clock/"


class BucketStore(Store):
    shortest = 2 * YOUNG

    def __init__(self, address: str, spool: Path) -> None:
        super().__init__(address, spool)
        match = _ADDRESS.match(address)
        if match is None:
            raise UsageError(
                f"REPRISE_STORE {bare_address(address)!r} is no address of a store",
                "a folder, or s3://BUCKET/PREFIX",
            )
        self.spool = spool  # where blobs wait for their upload
        self._bucket, self._prefix = match["bucket"], (match["prefix"] or "").strip("/")
        self._ranges = True  # until the server turns out to ignore them
        self._reads = RangedReads()
        # The server's, and the monotonic one at that moment.
        self._clock: tuple[datetime, float] | None = None
        self._until: float | None = None  # on the monotonic clock: removals may begin

    @cached_property
    def client(self) -> S3Store:
        return self._client(timeout=SILENCE)

    @cached_property
    def reader(self) -> S3Store:
        """For the bytes of blobs: a large one takes hours, and is given up where none come for a while."""
        return self._client(timeout=LONGEST, read_timeout=SILENCE)

    def _client(self, **times: timedelta) -> S3Store:
        from obstore.store import S3Store

        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
        options: dict[str, Any] = {"connect_timeout": "10s", **times}
        if endpoint.startswith("http://"):
            options["allow_http"] = True
        return S3Store(
            self._bucket,
            prefix=self._prefix or None,
            client_options=cast("Any", options),
            checksum_algorithm="SHA256",
            retry_config={"max_retries": 100, "retry_timeout": PATIENCE, "backoff": _BACKOFF},
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

    def _has(self, digest: Digest) -> bool:
        return self.head(digest) is not None

    def _open(self, digest: Digest) -> BinaryIO:
        found = self.head(digest)
        if found is None:
            raise self._absent(digest)
        return io.BufferedReader(_BlobReader(self, digest, found[0]), CHUNK)

    def stream(self, digest: Digest, offset: int, size: int | None = None) -> Iterator[memoryview]:
        """From `offset` on, in pieces as they come; a large blob by several requests at once.

        A server that cannot read a range is asked for the whole blob, and the start is skipped.
        """
        end = offset + PIECE if size is not None and size - offset > 2 * PIECE else None
        with self._translated(f"reading blob {digest}"):
            try:
                found, begin = self._get(digest, offset, end)
            except FileNotFoundError:
                raise self._absent(digest) from None
            came = 0
            for chunk in found.stream(min_chunk_size=CHUNK):
                data = memoryview(bytes(chunk))
                if offset - begin < len(data):
                    yield data[offset - begin :]
                begin, came = min(offset, begin + len(data)), came + len(data)
            if size is not None and end is not None and found.range[1] == end and came == PIECE:
                yield from self._reads.read(partial(self._piece, digest, size), end, size)

    def _get(self, digest: Digest, offset: int, end: int | None) -> tuple[Any, int]:
        """A blob from `offset` to `end`, and `offset`; all of it, and 0, where the server reads no ranges."""
        import obstore
        from obstore.exceptions import GenericError

        key = self.key(digest)
        if self._ranges and (offset or end):
            wanted: Any = {"offset": offset} if end is None else (offset, end)
            try:
                return obstore.get(self.reader, key, options={"range": wanted}), offset
            except FileNotFoundError:
                raise
            except GenericError as error:
                if "non-partial" not in str(error):
                    raise
                self._ranges = False
        return obstore.get(self.reader, key), 0

    def _piece(self, digest: Digest, size: int, start: int, end: int) -> memoryview:
        """Bytes from `start` to `end`; fewer where the blob has not the `size` that it is to have."""
        import obstore
        from obstore.exceptions import GenericError

        try:
            return memoryview(obstore.get_range(self.reader, self.key(digest), start=start, end=end))
        except GenericError:
            found = self.head(digest)
            if found is None or found[0] == size:
                raise
            return memoryview(b"")

    @contextmanager
    def file(self, digest: Digest) -> Iterator[Path]:
        with temporaries(self.spool) as folder:
            yield self.copied(digest, folder)

    @contextmanager
    def unowned_batch(self) -> Iterator[BucketBatch]:
        with ExitStack() as held:
            with self.storing:
                batch = BucketBatch(self, held.enter_context(temporaries(self.spool)))
            yield batch
            with self.storing:
                batch.commit()

    @contextmanager
    def unowned_uploads(self) -> Iterator[DirectUploads]:
        uploads = DirectUploads(self)
        yield uploads
        uploads.commit()

    def register(self, ledger: StoreOwner) -> None:
        import obstore

        with self._translated("saying whose blobs these are"):
            name = f"{_LEDGERS}{ledger.id}"
            try:
                obstore.head(self.client, name)
            except FileNotFoundError:
                obstore.put(self.client, name, ledger.text[:LEDGER_TEXT].encode("utf-8", "replace"))

    def ledgers(self) -> dict[str, str]:
        import obstore

        found = {}
        with self._translated("looking whose blobs these are"):
            for page in obstore.list(self.client, prefix=_LEDGERS):
                for one in page:
                    text = b"what it says is too long"
                    if one["size"] <= 4 * LEDGER_TEXT:
                        text = bytes(obstore.get(self.client, one["path"]).bytes())
                    found[one["path"].removeprefix(_LEDGERS)] = text.decode("utf-8", "replace")
        return found

    def now(self) -> datetime:
        """The server's time. It is asked once, by putting an object, and counted on from there."""
        import obstore

        if self._clock is None:
            name = f"{_CLOCK}{secrets.token_hex(8)}"
            with self._translated("asking for the time"):
                obstore.put(self.client, name, b"now")
                self._clock = obstore.head(self.client, name)["last_modified"], time.monotonic()
                obstore.delete(self.client, name)
        moment, asked = self._clock
        return moment + timedelta(seconds=time.monotonic() - asked)

    def put(self, digest: Digest, stream: IO[bytes], size: int) -> None:
        self._put(digest, stream if size > PART else stream.read(), size)

    def put_chunks(self, digest: Digest, chunks: Iterator[bytes], size: int) -> None:
        """An error among the chunks goes through, and the name shows nothing."""
        self._put(digest, chunks if size > PART else b"".join(chunks), size)

    def _put(self, digest: Digest, data: Any, size: int) -> None:
        import obstore

        with self._translated(f"storing blob {digest}"):
            obstore.put(
                self.client,
                self.key(digest),
                data,
                use_multipart=size > PART,
                chunk_size=max(PART, size // PARTS),
                max_concurrency=ALONGSIDE,
            )

    def try_out(self) -> None:
        """Under a name that no blob has, so that no collection is needed afterwards."""
        import obstore

        name, data = f"{_TRIAL}{secrets.token_hex(8)}", secrets.token_bytes(32)
        with self._translated("trying it"):
            obstore.put(self.client, name, data)
            try:
                kept = bytes(obstore.get(self.client, name).bytes())
            except FileNotFoundError:
                kept = b""
            obstore.delete(self.client, name)
        if kept != data:
            raise StoreError(
                f"{self.name}: the server said that it took 32 bytes, and gave {len(kept)} others back", _LIES
            )

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

    @contextmanager
    def removing(self) -> Iterator[None]:
        import obstore

        name, until = f"{_AT_WORK}{secrets.token_hex(8)}", time.monotonic() + REMOVING.total_seconds()
        with self._translated("saying that blobs are removed"):
            obstore.put(self.client, name, name.encode())
        try:
            self._until = until
            yield
        finally:
            self._until = None
            with self._translated("saying that no more blobs are removed"):
                obstore.delete(self.client, name)

    def remove(self, digest: Digest, before: datetime) -> bool:
        """The blob's age is read again just before, and it goes only while batches wait for that."""
        import obstore

        if self._until is None:
            with self.removing():
                return self.remove(digest, before)
        found = self.head(digest)
        if found is None or found[1] >= before or time.monotonic() > self._until:
            return False
        with self._translated(f"removing blob {digest}"):
            obstore.delete(self.client, self.key(digest))
        return True

    def at_work(self) -> set[str]:
        """Names of the removals under way."""
        import obstore

        with self._translated("looking whether blobs are removed"):
            return {found["path"] for page in obstore.list(self.client, prefix=_AT_WORK) for found in page}

    def wait_for_removals(self) -> bool:
        """Wait for the removals under way to end: whether there were any.

        Names that are there after WAIT are those of killed collections, and are removed.
        """
        import obstore

        others, pause = self.at_work(), 0.1
        if not others:
            return False
        given_up = time.monotonic() + WAIT.total_seconds()
        while others and time.monotonic() < given_up:
            time.sleep(pause)
            others &= self.at_work()
            pause = min(2 * pause, 5)
        with self._translated("removing the names of killed collections"):
            obstore.delete(self.client, sorted(others))
        return True

    def clean(self) -> int:
        """What killed commands left on this box, and trials of theirs that are older than a day."""
        import obstore

        limit, size = self.now() - LONGEST, remove_dead(self.spool)
        with self._translated("removing trials of killed commands"):
            for place in (_TRIAL, _CLOCK):
                for page in obstore.list(self.client, prefix=place):
                    old = {one["path"]: one["size"] for one in page if one["last_modified"] < limit}
                    obstore.delete(self.client, list(old))
                    size += sum(old.values())
        return size

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            reason = str(error).partition("\n")[0]
            hint = "check AWS_ENDPOINT_URL and the AWS keys; `reprise doctor` tries the store"
            raise StoreError(f"{self.name}: {doing}: {reason}", hint) from error


class _BlobReader(io.RawIOBase):
    """A blob as a raw stream; reading on from another place begins another request."""

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
            self._chunks = self._store.stream(self._digest, self._at, self._size)
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
