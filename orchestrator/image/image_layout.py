"""The image blobs of this box: manifests, configs and layers, each named by its digest.

`FOLDER/blobs/sha256/<hex>` as in an OCI layout, and `FOLDER/index/<key>.json`, which says what a blob was
made from, so that it is not made again. The index is a cache: its readers check that the blob exists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.digest import Digest, Hashed, canonical_json
from orchestrator.durable import make_folder, new_file, write_bytes, writing
from orchestrator.errors import StoreError


class ImageLayout:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs" / "sha256"
        self._index = folder / "index"

    def path(self, digest: Digest) -> Path:
        return self._blobs / digest.hex

    def has(self, digest: Digest, size: int) -> bool:
        """Whether the blob is here in full length. Its bytes are checked by `open(verify=True)`."""
        try:
            return self.path(digest).stat().st_size == size
        except FileNotFoundError:
            return False

    def put_bytes(self, data: bytes) -> Digest:
        return self.put_parts((data,))[0]

    def put_parts(self, parts: Sequence[bytes]) -> tuple[Digest, int]:
        """Store bytes held in memory. A blob that exists in full length is not written again."""
        digest, size = Digest.of_chunks(parts), sum(map(len, parts))
        if not self.has(digest, size):
            with writing(self.path(digest)) as stream:
                stream.writelines(parts)
        return digest, size

    def put_chunks(self, chunks: Iterable[bytes], expected: Digest | None = None) -> tuple[Digest, int]:
        """Store a stream of any length, hashed while it is written.

        Bytes with another digest than `expected` are not stored. The digest of the stream is returned.
        """
        passing = Hashed(chunks)
        make_folder(self._blobs)
        with new_file(self._blobs / "stream") as made:
            made.stream.writelines(passing)
            digest = passing.digest
            if expected in (None, digest):
                made.keep(self.path(digest))
        return digest, passing.size

    def find(self, prefix: str) -> list[Digest]:
        """Every blob whose digest begins with these hex digits, sorted."""
        if not re.fullmatch(r"[0-9a-f]{4,64}", prefix):
            return []
        return sorted(Digest(f"sha256:{path.name}") for path in self._blobs.glob(f"{prefix}*"))

    def open(self, digest: Digest, verify: bool = False) -> BinaryIO:
        """A blob's stream. StoreError: it is absent, or with `verify`, its bytes are not its digest's."""
        try:
            stream = self.path(digest).open("rb")
        except FileNotFoundError:
            raise StoreError(f"not on this box: {digest} (looked in {self._blobs})") from None
        if verify:
            try:
                self._verify(digest, stream)
            except BaseException:
                stream.close()
                raise
        return stream

    def read(self, digest: Digest) -> bytes:
        """A small blob's bytes, verified."""
        with self.open(digest) as stream:
            data = stream.read()
        if Digest.of(data) != digest:
            raise self._damaged(digest)
        return data

    def read_index(self, key: str) -> Any:
        """What was stored under the key; None for no entry, or one that cannot be read."""
        try:
            return json.loads((self._index / f"{key}.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def write_index(self, key: str, value: Any) -> None:
        write_bytes(self._index / f"{key}.json", canonical_json(value))

    def _verify(self, digest: Digest, stream: BinaryIO) -> None:
        if Digest.of_stream(stream) != digest:
            raise self._damaged(digest)
        stream.seek(0)

    def _damaged(self, digest: Digest) -> StoreError:
        return StoreError(
            f"a blob no longer has its digest's bytes: {self.path(digest)}",
            "remove the file; it is made or fetched again when it is needed",
        )
