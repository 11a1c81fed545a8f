"""Pushes images to a registry: only what it lacks, the manifest last, everything by digest.

Blobs are uploaded in chunks. After a lost connection the registry is asked how much it has. If it does not
know (registry 2.8 forgets an upload whose last chunk broke off), the blob is sent from its beginning.
"""

from __future__ import annotations

import hashlib
import io
import random
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import urlencode

from orchestrator.digest import Digest
from orchestrator.errors import RegistryError, StoreError
from orchestrator.image.image_model import MEDIA_MANIFEST, Layer, LayerKind
from orchestrator.image.registry.fetch_manifest import has_manifest
from orchestrator.image.registry.login import DeniedError
from orchestrator.image.registry.registry_answers import RegistryAnswer, said_in
from orchestrator.image.registry.registry_client import PROGRESS, Client, LostError

CHUNK = 64 << 20  # bytes of one request; a blob that fits goes in a single one
RESTARTS = 5  # of one blob's upload
MANIFEST_TRIES = 4

# The registry no longer knows the upload: begin anew.
_FORGOTTEN = (400, 404, 416)
_RANGE = re.compile(r"(?:bytes=)?0-([1-9][0-9]{0,17})\Z")

Moved = Callable[[int, int], None]  # bytes done, bytes in all
Find = Callable[[Layer], Path]  # where a layer's blob lies on this box; it may have to be fetched


class Pushed(NamedTuple):
    """What became of an image's bytes in a push."""

    sent: int  # over the network, including what was sent twice
    mounted: int  # from another repository of the registry
    found: int  # in the repository already


@dataclass(frozen=True)
class _Blob:
    digest: Digest
    size: int
    open: Callable[[], BinaryIO]
    base: bool


@dataclass
class _Meter:
    total: int
    moved: Moved
    done: int = 0  # bytes of finished blobs
    sent: int = 0

    def at(self, offset: int) -> None:
        self.moved(min(self.done + offset, self.total), self.total)


def push(
    client: Client,
    manifest: bytes,
    config: bytes,
    layers: Sequence[Layer],
    find: Find,
    mounts: Sequence[str] = (),
    moved: Moved = lambda *_: None,
) -> Pushed:
    """Push an image to the client's repository, under its manifest's digest.

    `mounts` are other repositories of the registry that may have the base. RegistryError: the registry
    refuses, or cannot be reached. StoreError: a layer is not on this box, or no longer has its bytes.
    """
    digest = Digest.of(manifest)
    if has_manifest(client, digest):
        return Pushed(0, 0, sum(layer.size for layer in layers))
    blobs = {layer.digest: _blob(layer, find) for layer in layers}
    name = Digest.of(config)
    blobs[name] = _Blob(name, len(config), lambda: io.BytesIO(config), base=False)
    missing = [blob for blob in blobs.values() if not _has_blob(client, blob)]
    meter, mounted = _Meter(sum(blob.size for blob in missing), moved), 0
    for blob in missing:
        location, taken = _mount(client, blob, mounts) if blob.base else (None, False)
        if taken:
            mounted += blob.size
        else:
            _upload(client, blob, location, meter)
        meter.done += blob.size
        meter.at(0)
    # First by digest, which the registry checks; then under a tag with the digest's digits. The tag is never
    # read, but registries clean up what has none.
    for reference in (digest, digest.hex):
        put_manifest(client, reference, manifest)
    found = sum(blob.size for blob in blobs.values()) - meter.total
    return Pushed(meter.sent + len(manifest), mounted, found)


def put_manifest(client: Client, reference: str, manifest: bytes, media: str = MEDIA_MANIFEST) -> None:
    """Put a manifest by digest or tag; try again, a few times, after a complaint that its digest is wrong.

    docker-registry 2.8 said so once, when four clients pushed the same manifest at the same moment: it seems
    to have read the file while another request wrote it.
    """
    headers = {"Content-Type": media}
    for left in reversed(range(MANIFEST_TRIES)):
        try:
            client.request("PUT", f"manifests/{reference}", (201, 202), headers=headers, data=manifest)
        except RegistryError as error:
            if left == 0 or "DIGEST_INVALID" not in error.message:
                raise
            time.sleep(random.uniform(0.1, 0.5))  # noqa: S311  (not a secret)
        else:
            return


def check_push(client: Client) -> None:
    """Begins an upload and cancels it, to see whether the repository takes pushes. RegistryError if not."""
    answer = client.request("POST", "blobs/uploads/", (202,))
    # A login that may push need not be allowed to delete; registries remove abandoned uploads.
    with suppress(DeniedError):
        client.request("DELETE", client.next_step(answer), (202, 204, 401, 403, 404, 405))


def _blob(layer: Layer, find: Find) -> _Blob:
    return _Blob(layer.digest, layer.size, lambda: find(layer).open("rb"), layer.kind is LayerKind.BASE)


def _has_blob(client: Client, blob: _Blob) -> bool:
    answer = client.request("HEAD", f"blobs/{blob.digest}", (200, 404))
    length = answer.headers.get("Content-Length")
    if answer.status == 200 and length is not None and length.strip() != str(blob.size):
        raise RegistryError(
            f"{client.url(f'blobs/{blob.digest}')}: the registry's copy has {length[:40]} bytes, "
            f"not {blob.size}",
            "it is damaged; remove it there, then push again",
        )
    return answer.status == 200


def _mount(client: Client, blob: _Blob, mounts: Sequence[str]) -> tuple[str | None, bool]:
    """Mount the blob from another repository. After a miss: where to upload it, if the registry says so."""
    for name in mounts:
        # A registry without mounts, or a repository that we may not read, counts as a miss.
        expect, params = (201, 202, 400, 401, 403, 404, 405), {"mount": blob.digest, "from": name}
        try:
            answer = client.request("POST", "blobs/uploads/", expect, params=params)
        except DeniedError:
            continue
        if answer.status == 201:
            return None, True
        if answer.status == 202 and name == mounts[-1]:
            return client.next_step(answer), False
    return None, False


def _upload(client: Client, blob: _Blob, location: str | None, meter: _Meter) -> None:
    with blob.open() as stream:
        for _ in range(RESTARTS):
            if location is None:
                location = client.next_step(client.request("POST", "blobs/uploads/", (202,)))
            answer = _send_all(client, blob, stream, location, meter)
            if answer is None or _has_blob(client, blob):  # the answer that was lost may have been the last
                return
            location = None
    raise RegistryError(
        f"{client.place}: blob {blob.digest} ({blob.size} bytes) was not taken in {RESTARTS} attempts: "
        f"{answer.status if answer else ''} {said_in(answer) if answer else ''}".rstrip(),
        "look at the registry's log; it may lack room, or be several processes without a shared secret",
    )


def _send_all(
    client: Client, blob: _Blob, stream: BinaryIO, location: str, meter: _Meter
) -> RegistryAnswer | None:
    """Send all chunks. None: the registry has the blob; else its answer that it forgot the upload."""
    hasher, hashed, offset, stalls = hashlib.sha256(), 0, 0, 0
    while True:
        stream.seek(offset)
        data = stream.read(CHUNK)
        end = offset + len(data)
        if end > hashed:
            hasher.update(memoryview(data)[hashed - offset :])
            hashed = end
        last = end >= blob.size or not data
        if last and (end != blob.size or hasher.hexdigest() != blob.digest.hex):
            raise StoreError(
                f"a blob no longer has its digest's bytes: {getattr(stream, 'name', blob.digest)}",
                "remove the file; it is made or fetched again when it is needed",
            )
        try:
            meter.sent += len(data)
            answer = _send(client, blob, location, data, offset, last)
            location = _next(client, answer, location)
        except LostError:
            answer = client.request("GET", location, (204, *_FORGOTTEN))
            end, last = _received(answer), False
            location = _next(client, answer, location)
            stalls += end - offset < PROGRESS
        if answer.status in _FORGOTTEN or end > hashed or stalls > RESTARTS:
            return answer
        if last:
            return None
        offset = end
        meter.at(offset)


def _send(client: Client, blob: _Blob, location: str, data: bytes, offset: int, last: bool) -> RegistryAnswer:
    headers = {"Content-Type": "application/octet-stream"}
    if data and (offset or not last):
        headers["Content-Range"] = f"{offset}-{offset + len(data) - 1}"
    if not last:
        return client.request("PATCH", location, (202, *_FORGOTTEN), headers=headers, data=data, again=False)
    ending = f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': blob.digest})}"
    return client.request("PUT", ending, (201, 204, *_FORGOTTEN), headers=headers, data=data, again=False)


def _next(client: Client, answer: RegistryAnswer, location: str) -> str:
    """Where the upload goes on: each answer may move it within the registry."""
    return client.next_step(answer) if "Location" in answer.headers else location


def _received(answer: RegistryAnswer) -> int:
    """How many bytes of an upload the registry has."""
    match = _RANGE.match(answer.headers.get("Range", ""))
    # "0-0" means no byte in registry 2.8, and one byte by the standard; no byte is the safe reading.
    return int(match[1]) + 1 if match is not None else 0
