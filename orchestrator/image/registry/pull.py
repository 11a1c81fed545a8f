"""Pulls blobs from a registry into this box's layout. Only blobs with the right digest are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from orchestrator.disk_room import Room
from orchestrator.errors import RegistryError
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Layer
from orchestrator.image.registry.push import Moved
from orchestrator.image.registry.registry_client import Client

AT_ONCE = 3  # blobs; as many as Docker fetches


def pull(client: Client, layout: ImageLayout, layers: Sequence[Layer], moved: Moved = lambda *_: None) -> int:
    """Fetch the layers that the layout lacks. Returns the number of bytes moved.

    RegistryError: a blob is absent, or other bytes. StoreError: they do not fit on the disk.
    """
    wanted = {layer.digest: layer for layer in layers if not layout.has(layer.digest, layer.size)}
    total, arrived = sum(layer.size for layer in wanted.values()), 0
    room = Room(f"{client.place}", {layout.folder: total})
    lock = Lock()

    def chunks(layer: Layer) -> Iterator[bytes]:
        nonlocal arrived
        for chunk in client.blob(layer.digest, layer.size):
            if client.stopped.is_set():
                raise RegistryError(f"{client.place}: stopped, as another blob could not be had")
            yield chunk
            with lock:
                arrived += len(chunk)
                room.wrote(len(chunk))
                moved(arrived, total)

    def fetch(layer: Layer) -> None:
        found, _ = layout.put_chunks(chunks(layer), expected=layer.digest)
        if found != layer.digest:
            raise RegistryError(
                f"{client.url(f'blobs/{layer.digest}')}: the registry delivered other bytes: {found}",
                "its copy is damaged, or it is not to be trusted; remove it there, then push the image again",
            )

    with ThreadPoolExecutor(AT_ONCE, "pull") as pool:
        try:
            for done in [pool.submit(fetch, layer) for layer in wanted.values()]:
                done.result()
        except BaseException:  # Ctrl-C, too: the other blobs are not wanted any more
            client.stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    return total
