"""Images: the box's layers, the engine's and the registry's copies against their digests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from orchestrator.audit.findings import Finding, Kind, Progress
from orchestrator.audit.reachability import out_of_reach
from orchestrator.digest import Digest
from orchestrator.errors import EngineError, EngineMissingError, RegistryError, StoreError, UsageError
from orchestrator.image.assembly.saved_archive import SavedImage, read_saved
from orchestrator.image.image_check import check_image
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import engine_tag
from orchestrator.image.registry.fetch_manifest import read_by_digest
from orchestrator.image.registry.registry_client import AbsentError, Client, SilentError
from orchestrator.image.stored_image import image_of
from orchestrator.launch.move_images import registry
from orchestrator.launch.session import Session
from orchestrator.record.runs.unreadable_rows import UnreadableError
from orchestrator.record.store.safe_folders import NoFileError, open_file

TOGETHER = 200  # images in one archive of the engine, where a shared layer is read once
NAMED = 5  # altered images that are named one by one: further ones mostly share the altered layer


def box_findings(session: Session, progress: Progress) -> Iterator[Finding]:
    """Every blob of this box's image layout, hashed."""
    folder = ImageLayout(session.settings.layout).folder / "blobs" / "sha256"
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return
    for done, path in enumerate(paths):
        if len(path.name) == 64:  # others are temporaries of a download that is under way
            try:
                found = _hash(path)
            except OSError as error:
                yield out_of_reach(f"blob sha256:{path.name}", error)
                continue
            if found is not None and found != f"sha256:{path.name}":
                yield Finding(
                    kind=Kind.LAYER_ALTERED, subject=f"blob sha256:{path.name}", detail=f"{path} is {found}"
                )
        progress(done + 1, len(paths))


def _hash(path: Path) -> str | None:
    """None where the file was removed meanwhile. No link is followed, and no FIFO is waited for."""
    try:
        with open_file(path) as stream:
            return Digest.of_stream(stream)
    except FileNotFoundError:
        return None
    except NoFileError:
        return "no plain file"


def engine_findings(session: Session, digests: Iterable[Digest], progress: Progress) -> Iterator[Finding]:
    """Every recorded image that this box's engine has: its bytes as the engine would run them.

    An engine looks at an image's bytes when it is loaded, and never again: a file that was changed in its
    folder runs under the old digest (seen with overlay2). So each image is exported and hashed. A job runs by
    its image's tag, whatever that names by now, with or without our labels.
    """
    try:
        there = session.engine.tags()
    except EngineMissingError as error:  # a person's machine has none
        yield Finding(kind=Kind.NOT_CHECKED, subject="the engine's images", detail=error.message)
        return
    tags = sorted(there & set(map(engine_tag, digests)))
    for start in range(0, len(tags), TOGETHER):
        yield from _together(session, tags[start : start + TOGETHER], [])
        progress(min(start + TOGETHER, len(tags)), len(tags))


def _together(session: Session, tags: Sequence[str], named: list[str]) -> Iterator[Finding]:
    """Exports these images at once. Where the engine refuses, each half is tried alone, until only the image
    is left that the engine cannot export.
    """
    if len(named) >= NAMED:
        detail = f"{NAMED} of those that were saved with them are altered"
        subject = f"{len(tags)} more images of the engine"
        yield Finding(kind=Kind.NOT_CHECKED, subject=subject, detail=detail)
        return
    tags = [tag for tag in tags if session.engine.image(tag) is not None]  # others were removed meanwhile
    if not tags:
        return
    try:
        saved = read_saved(session.engine.save_all(tags))
    except EngineMissingError:
        raise  # the engine went away meanwhile
    except (EngineError, StoreError) as error:
        if len(tags) > 1:
            middle = len(tags) // 2
            yield from _together(session, tags[:middle], named)
            yield from _together(session, tags[middle:], named)
            return
        named.append(tags[0])
        yield Finding.of_image(Kind.ENGINE_ALTERED, _of_tag(tags[0]), error.message)
        return
    for image in saved:
        yield from _saved_findings(session, image)


def _saved_findings(session: Session, image: SavedImage) -> Iterator[Finding]:
    for tag in image.tags:
        digest = _of_tag(tag)
        for number, (named, found) in enumerate(zip_longest(image.named, image.found)):
            if named != found:
                detail = f"layer {number} should be {named}, and is {found}"
                yield Finding.of_image(Kind.ENGINE_ALTERED, digest, detail)
        try:
            facts, _ = session.record.image(digest)
        except (UsageError, UnreadableError):  # its rows are gone or altered: the part `rows` says so
            continue
        if image.config_digest not in (facts.config_digest, facts.digest):
            detail = f"its config should be {facts.config_digest}, and is {image.config_digest}"
            yield Finding.of_image(Kind.ENGINE_ALTERED, digest, detail)


def _of_tag(tag: str) -> str:
    return "sha256:" + tag.rpartition(":")[2]


def registry_findings(
    session: Session, digests: Iterable[Digest], total: int, progress: Progress
) -> Iterator[Finding]:
    """Recorded images in the registry: manifest, config and every layer, each blob read once."""
    if session.settings.registry is None:
        return
    seen: dict[Digest, str | None] = {}  # blob -> what is wrong with it
    try:
        with Client(registry(session.settings)) as client:
            for done, digest in enumerate(digests):
                yield from _remote(session, client, digest, seen)
                progress(done + 1, total)
    except RegistryError as error:
        yield out_of_reach("the registry's images", error)


def _remote(
    session: Session, client: Client, digest: Digest, seen: dict[Digest, str | None]
) -> Iterator[Finding]:
    try:
        found = read_by_digest(client, digest)
        image = image_of(ImageLayout(session.settings.layout), found.manifest, found.config)
        check_image(session.settings, image)
    except SilentError:
        raise  # the registry is silent: the other images cannot be read either
    except AbsentError as error:
        yield Finding.of_image(Kind.REGISTRY_MISSING, digest, error.message)
        return
    except (RegistryError, StoreError, UsageError) as error:
        yield Finding.of_image(Kind.REGISTRY_ALTERED, digest, error.message)
        return
    for layer in image.layers:
        if layer.digest not in seen:
            seen[layer.digest] = _blob_trouble(client, layer.digest, layer.size)
        trouble = seen[layer.digest]
        if trouble is not None:
            detail = f"layer {layer.digest} ({layer.title}): {trouble}"
            yield Finding.of_image(Kind.REGISTRY_ALTERED, digest, detail)


def _blob_trouble(client: Client, digest: Digest, size: int) -> str | None:
    try:
        found = Digest.of_chunks(client.blob(digest, size))
    except SilentError:
        raise
    except RegistryError as error:
        return error.message
    return None if found == digest else f"the registry delivers {found}"
