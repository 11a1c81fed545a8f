"""The source that a run ran: from its image's source layer, here or in the registry; else its digests."""

from __future__ import annotations

from orchestrator.digest import Digest
from orchestrator.errors import RegistryError, StoreError
from orchestrator.image.assembly.read_source_layer import SourceText, source_texts
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Layer, LayerKind
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import RunRecord


def source_of(
    session: Session, run: RunRecord, watch: Watch, *, pulling: bool = True
) -> dict[str, SourceText]:
    """Path -> file. Where the layer cannot be had, that is noted, and files have a digest only: what the
    run's entry point found. Without `pulling` no registry is asked.
    """
    layers = session.record.image(run.image)[0].layers
    layer = next((one for one in layers if one.kind is LayerKind.SOURCE), None)
    if layer is not None and _here(session, layer, watch, pulling):
        try:
            return source_texts(ImageLayout(session.settings.layout), layer)
        except StoreError as error:
            watch.note(error.message)
    watch.note(f"the source layer of run {run.id} is not on this box: only digests of its files are known")
    return {path: SourceText(digest=Digest(f"sha256:{text}")) for path, text in run.source.items()}


def _here(session: Session, layer: Layer, watch: Watch, pulling: bool) -> bool:
    settings = session.settings
    if ImageLayout(settings.layout).has(layer.digest, layer.size):
        return True
    if settings.registry is None or not pulling:
        return False
    from orchestrator.image.registry.pull import pull
    from orchestrator.image.registry.registry_client import Client
    from orchestrator.image.registry.repository import read_place

    try:
        with Client(read_place(settings.registry), watch.note) as client:
            pull(client, ImageLayout(settings.layout), [layer], watch.moved)
    except RegistryError as error:
        watch.note(error.message)
        return False
    return True
