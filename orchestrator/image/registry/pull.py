"""Blobs out of a registry into this box's layout: hashed on the way, and there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from orchestrator.errors import RegistryError, StoreError
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Layer
from orchestrator.image.registry.push import Moved
from orchestrator.image.registry.registry_client import Client

AT_ONCE = 3  # blobs; as many as Docker fetches
ROOM = 256 << 20  # bytes that a pull leaves free


def pull(client: Client, layout: ImageLayout, layers: Sequence[Layer], moved: Moved = lambda *_: None) -> int:
    """The layers that the layout lacks; bytes moved.

    RegistryError: a blob is absent, or other bytes. StoreError: they do not fit on the disk.
    """
    wanted = {layer.digest: layer for layer in layers if not layout.has(layer.digest, layer.size)}
    total, over = sum(layer.size for layer in wanted.values()), 0
    _check_room(layout.folder, total, client)
    lock = Lock()

    def chunks(layer: Layer) -> Iterator[bytes]:
        nonlocal over
        for chunk in client.blob(layer.digest, layer.size):
            if client.stopped.is_set():
                raise RegistryError(f"{client.place}: stopped, as another blob could not be had")
            yield chunk
            with lock:
                over += len(chunk)
                moved(over, total)

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
        except BaseException:  # Ctrl-C, too: nobody waits for a gigabyte that is not wanted any more
            client.stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    return total


def _check_room(folder: Path, size: int, client: Client) -> None:
    """Before the first byte: sizes are what a manifest says, and a full disk stops everything else, too."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size > free - ROOM:
        raise StoreError(
            f"{client.place}: {size} bytes are to be pulled, and {folder} has {free} free",
            f"make room there ({ROOM >> 20} MiB stay free); is it the image that is meant?",
        )
