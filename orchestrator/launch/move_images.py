"""Moving images between this box, its engine and the team's registry: by digest, only what is missing."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import EngineError, RegistryError, StoreError, UsageError
from orchestrator.image.base.base_pins import list_pins
from orchestrator.image.base.resolve_base import find_pin, resolve_base
from orchestrator.image.image_check import check_image
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import LABEL_PROGRAM, Base, BaseRef, Image, Layer
from orchestrator.image.registry.fetch_manifest import RegistryImage, has_manifest, read_by_digest
from orchestrator.image.registry.pull import pull
from orchestrator.image.registry.push import Pushed, check_push, push
from orchestrator.image.registry.registry_client import AbsentError, Client
from orchestrator.image.registry.repository import Place, place_of, read_place
from orchestrator.image.stored_image import image_of, stored_image
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.run.engine.engine import Engine
from orchestrator.run.engine.load_image import ensure_loaded
from orchestrator.settings import Settings


def registry(settings: Settings) -> Place:
    """The team's registry. UsageError where none is set."""
    if settings.registry is None:
        raise UsageError(
            "no registry is set", "set REPRISE_REGISTRY to HOST[:PORT]/NAME; `reprise doctor` then asks it"
        )
    return read_place(settings.registry)


def push_image(session: Session, image: Image, watch: Watch) -> Pushed:
    """The image, and its base as an image of its own, into the registry. The engine is not asked.

    With the base there, a box that only has its pin can assemble images over it.
    RegistryError: refused. StoreError: a layer is neither here nor where its base came from.
    """
    settings = session.settings
    layout, place = ImageLayout(settings.layout), registry(settings)

    def find(layer: Layer) -> Path:
        if not layout.has(layer.digest, layer.size):
            _fetch(settings, (layer,), image.base, _places(settings, image.base), watch)
        return layout.path(layer.digest)

    watch.phase("push", f"{image.digest} to {place}")
    mounts = [one.name for one in _places(settings, image.base) if one.host == place.host and one != place]
    parts = [(image.manifest, image.config, image.layers)]
    base = _base_parts(layout, image.base)
    if base is not None:
        parts.insert(0, (*base, image.base_layers))
    with Client(place, watch.note) as client:
        results = [push(client, *part, find, mounts, watch.moved) for part in parts]
    _remember(layout, image.base, place)
    return Pushed(sum(one.sent for one in results), sum(one.mounted for one in results), results[-1].found)


def read_remote(session: Session, digest: Digest, watch: Watch | None = None) -> Image | None:
    """The image behind a digest of the registry, or of an index there; None if it has none.

    UsageError: no image of ours. RegistryError: the registry fails, or delivers other bytes.
    """
    with Client(registry(session.settings)) as client:
        try:
            found = read_by_digest(client, digest)
        except AbsentError:
            return None
    if found.via is not None and watch is not None:
        watch.note(f"{found.via} is an index; its image for linux/amd64 is {found.digest}")
    image = image_of(ImageLayout(session.settings.layout), found.manifest, found.config)
    check_image(session.settings, image)
    return image


def pull_image(session: Session, digest: Digest, watch: Watch) -> Image:
    """The image's manifest, config and own layers in this box's layout; the base's layers are not fetched.

    RegistryError: the registry has not got it, or delivers other bytes; then nothing names what came.
    """
    settings = session.settings
    layout, place = ImageLayout(settings.layout), registry(settings)
    watch.phase("pull", f"{digest} from {place}")
    with Client(place, watch.note) as client:
        found = read_by_digest(client, digest)
        image = image_of(layout, found.manifest, found.config)
        check_image(settings, image)  # before its layers are fetched
        pull(client, layout, image.own_layers, watch.moved)
    _remember(layout, image.base, place)
    _store(layout, found)
    return image_of(layout, found.manifest, found.config)


def layers_here(session: Session, digest: Digest, watch: Watch) -> Image:
    """The image with its own layers in this box's layout: there already, else out of the registry.

    StoreError where there is no registry; errors of `pull_image` where there is one.
    """
    image = stored_image(session.settings, digest)
    if image is not None and all(layer.path is not None for layer in image.own_layers):
        return image
    if session.settings.registry is None:
        raise StoreError(
            f"the layers of image {digest} are not on this box, and no registry is set",
            "submit the spec again: the same spec gives the same digest; or go to the box that has it",
        )
    return pull_image(session, digest, watch)


def ensure_here(session: Session, digest: Digest, watch: Watch) -> Image:
    """The image in this box's engine, verified: from the layout, else out of the registry.

    The base's layers are fetched only where the engine lacks them. Errors as of `layers_here`.
    """
    image = layers_here(session, digest, watch)
    ensure_loaded(session.engine, session.settings, image, lambda: fetch_base(session, image, watch))
    return image


def fetch_base(session: Session, image: Image, watch: Watch) -> None:
    """The base's layers into this box's layout, for an engine that lacks them, if a registry may have them.

    StoreError: none has. RegistryError: one fails.
    """
    settings = session.settings
    layers = image.base_layers
    places = _places(settings, image.base)
    if places and not _complete(ImageLayout(settings.layout), layers):
        watch.phase("pull", f"the base {image.base.name}, which the engine lacks")
        _fetch(settings, layers, image.base, places, watch)


def find_base(session: Session, image: Image, watch: Watch) -> str | None:
    """In words, where this box can get the layers of an image's base; None where no place has them."""
    settings = session.settings
    layers = image.base_layers
    if _complete(ImageLayout(settings.layout), layers):
        return "among this box's layers"
    try:
        if _in_engine(session.engine, image.base, tuple(layer.diff_id for layer in layers)):
            return "in the engine"
    except EngineError as error:
        watch.note(error.message)
    for place in _places(settings, image.base):
        try:
            with Client(place, watch.note) as client:
                if has_manifest(client, image.base.digest):
                    return f"in {place}"
        except RegistryError as error:
            watch.note(error.message)
    return None


def _in_engine(engine: Engine, base: BaseRef, diff_ids: tuple[Digest, ...]) -> bool:
    """Whether the engine has the base, as an image of its own or below a job's."""
    from orchestrator.launch.bases.manage_bases import BASE_REPOSITORY

    names = (f"{BASE_REPOSITORY}:{base.digest.hex}", base.digest, base.config_digest)
    found = chain(map(engine.image, names), engine.images_labelled(LABEL_PROGRAM))
    return any(one is not None and one.diff_ids[: len(diff_ids)] == diff_ids for one in found)


def base_here(session: Session, name: str | None, watch: Watch) -> Base:
    """As `resolve_base`; a base that is pinned, but not on this box, is read from a registry.

    Its layers stay there: to assemble an image over a base takes its manifest and config only.
    """
    settings = session.settings
    pin = find_pin(settings, name)
    layout = ImageLayout(settings.layout)
    ref = BaseRef(name=pin.name, digest=pin.digest, config_digest=pin.config_digest)
    if _base_parts(layout, ref) is None:
        for place in _places(settings, ref):
            with Client(place, watch.note) as client:
                try:
                    found = read_by_digest(client, pin.digest)
                except AbsentError:
                    continue
            watch.note(f"the base {pin.name} is read from {place}")
            _store(layout, found)
            _remember(layout, ref, place)
            break
    return resolve_base(settings, name)


def check_registry(settings: Settings) -> str:
    """In words, the registry and who may push there. RegistryError where nobody may."""
    with Client(registry(settings), patient=False) as client:
        check_push(client)
        scheme = "" if client.place.secure else ", plain http"
        user = f" as {client.login.user}" if client.login.user else ""
        return f"{client.place} takes a push ({client.login.kind}{user}{scheme})"


def registry_answers(settings: Settings) -> str:
    """In words, the registry that images can be asked of. RegistryError where it does not answer."""
    with Client(registry(settings), patient=False) as client:
        has_manifest(client, Digest.of(b""))
        return f"{client.place} answers"


def _places(settings: Settings, base: BaseRef) -> list[Place]:
    """Where a base may lie: the team's registry, where it was pinned from, where it was seen."""
    texts = [settings.registry] if settings.registry else []
    places = [read_place(text) for text in texts]
    pins = (pin for pin in list_pins(settings) if pin.digest == base.digest)
    places += [place for pin in pins if (place := place_of(pin.reference)) is not None]
    places += [read_place(text, "a place seen before") for text in _seen(ImageLayout(settings.layout), base)]
    return list(dict.fromkeys(places))


def _seen(layout: ImageLayout, base: BaseRef) -> list[str]:
    value = layout.read_index(f"places-{base.digest.hex}")
    return [str(text) for text in value] if isinstance(value, list) else []


def _remember(layout: ImageLayout, base: BaseRef, place: Place) -> None:
    seen, text = _seen(layout, base), f"{place.url}/{place.name}"
    if text not in seen:
        layout.write_index(f"places-{base.digest.hex}", [*seen, text])


def _fetch(
    settings: Settings, layers: tuple[Layer, ...], base: BaseRef, places: list[Place], watch: Watch
) -> None:
    """Layers of a base into the layout, from the first place that has them all."""
    for place in places:
        with Client(place, watch.note) as client:
            try:
                pull(client, ImageLayout(settings.layout), layers, watch.moved)
            except AbsentError:
                continue
            return
    names = ", ".join(map(str, places)) or "no registry is known to have it"
    raise StoreError(
        f"a layer of the base {base.name} is not on this box, nor elsewhere ({names})",
        f"on the box that made the base: `reprise submit`, or `reprise build --push`; "
        f"or here: `reprise base build {base.name}`",
    )


def _complete(layout: ImageLayout, layers: tuple[Layer, ...]) -> bool:
    return all(layout.has(layer.digest, layer.size) for layer in layers)


def _base_parts(layout: ImageLayout, base: BaseRef) -> tuple[bytes, bytes] | None:
    try:
        return layout.read(base.digest), layout.read(base.config_digest)
    except StoreError:
        return None


def _store(layout: ImageLayout, found: RegistryImage) -> None:
    layout.put_bytes(found.config)  # before what names it
    layout.put_bytes(found.manifest)
