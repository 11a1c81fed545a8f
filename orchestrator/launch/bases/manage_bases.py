"""Making, loading, probing and pinning bases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator.digest import Digest
from orchestrator.durable import locked
from orchestrator.errors import BaseNotPinnedError, EngineError, StoreError, UsageError
from orchestrator.image.base.base_manifest import Parts, saved_parts
from orchestrator.image.base.base_pins import list_pins, write_pin
from orchestrator.image.base.make_base import base_from_parts
from orchestrator.image.base.recipe import read_recipe
from orchestrator.image.base.resolve_base import resolve_base
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Base, BaseRef, Layer
from orchestrator.image.registry.fetch_manifest import read_image
from orchestrator.launch.bases.base_layers import make_parts
from orchestrator.launch.bases.probe_python import probe_python
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.run.engine.load_image import ensure_loaded
from orchestrator.settings import Settings

BASE_REPOSITORY = "reprise-base"  # local tag: reprise-base:<hex of the manifest digest>

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_ID = re.compile(r"sha256:[0-9a-f]{64}\Z")
_BY_DIGEST = re.compile(r"(?P<repository>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})\Z")


@dataclass(frozen=True)
class BaseImage:
    """A base as something that an engine can load."""

    base: BaseRef
    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]

    @property
    def digest(self) -> Digest:
        return self.base.digest

    @property
    def config_digest(self) -> Digest:
        return self.base.config_digest

    @property
    def tag(self) -> str:
        return f"{BASE_REPOSITORY}:{self.base.digest.hex}"


def build_base(session: Session, flavour: str, watch: Watch, force: bool = False) -> Base:
    """Make a flavour, load it into the engine and pin it on this box, unless its inputs are unchanged.

    Two builds of the same inputs give the same digest. `force` builds in any case, because the state of the
    distribution's archive and of the wheels' index cannot be seen beforehand.
    UsageError: recipe. InfrastructureError, EngineError, StoreError: packages, engine, disk.
    """
    settings = session.settings
    recipe = read_recipe(settings, flavour)
    with _one_at_a_time(settings), _disk(settings):
        key = f"base-{recipe.key()}"
        made = None if force else _made_before(settings, flavour, key)
        if made is not None:
            _load(session, made)
            watch.note(f"the base {flavour} is made already; nothing in its recipe has changed")
            return made
        parts = make_parts(session, recipe, watch)
        watch.phase("base", "loading it into the engine")
        base = _made(session, flavour, parts)
        ImageLayout(settings.layout).write_index(key, {"digest": base.ref.digest})
    _note_committed(settings, base, watch)
    return base


def pin_base(session: Session, name: str, reference: str, watch: Watch) -> Base:
    """Pin an image that is there already: `HOST/NAME@sha256:…`, `NAME@sha256:…`, or the engine's `sha256:…`.

    With a host it is read from the registry and keeps the registry's digest. Otherwise the engine has it or
    pulls it, and the manifest is written here over uncompressed layers: an engine keeps no manifest.
    UsageError: a tag, or an image that cannot be a base. RegistryError, EngineError: not to be had.
    """
    if not _NAME.match(name):
        raise UsageError(f"not a name for a base: {name!r}", "letters, digits, dot, dash and underscore")
    match = _BY_DIGEST.match(reference)
    if match is None and not _ID.match(reference):
        raise UsageError(
            f"a base is pinned by digest, not by {reference!r}: a tag moves",
            "write REPOSITORY@sha256:…, or an image id of the engine: docker images --no-trunc",
        )
    with _one_at_a_time(session.settings), _disk(session.settings):
        if match is not None and _has_host(match["repository"]):
            base = _from_registry(session, name, match["repository"], reference, watch)
        else:
            base = _from_engine(session, name, reference, watch)
    _note_committed(session.settings, base, watch)
    return base


def _made_before(settings: Settings, flavour: str, key: str) -> Base | None:
    """The pinned base if it was made of the same inputs, and every layer of it is still here."""
    value = ImageLayout(settings.layout).read_index(key)
    if value is None or flavour not in {pin.name for pin in list_pins(settings)}:
        return None
    try:
        base = resolve_base(settings, flavour)
    except BaseNotPinnedError:
        return None
    layout = ImageLayout(settings.layout)
    complete = all(layout.has(layer.digest, layer.size) for layer in base.layers)
    return base if complete and value == {"digest": base.ref.digest} else None


def _from_registry(session: Session, name: str, repository: str, reference: str, watch: Watch) -> Base:
    engine, found = session.engine, read_image(reference)
    if found.via is not None:
        watch.note(f"{found.via} is an index; pinned is its image for linux/amd64, {found.digest}")
    pinned = f"{repository}@{found.digest}"
    watch.phase("base", f"pulling {pinned}")
    if engine.image(pinned) is None:
        engine.pull(repository, found.digest)
    image = engine.image(pinned)
    if image is None or image.id not in (found.digest, Digest.of(found.config)):
        raise EngineError(f"the engine pulled another image than {pinned}")
    python = probe_python(engine, pinned)
    base = base_from_parts(name, pinned, found.manifest, found.config, None, python)
    engine.tag(image.id, BASE_REPOSITORY, found.digest.hex)  # untagged images are pruned
    return _pinned(session.settings, base)


def _from_engine(session: Session, name: str, reference: str, watch: Watch) -> Base:
    match = _BY_DIGEST.match(reference)
    if session.engine.image(reference) is None and match is not None:
        watch.phase("base", f"pulling {reference}")
        session.engine.pull(match["repository"], match["digest"])
    python = probe_python(session.engine, reference)  # before a gigabyte is copied
    watch.phase("base", "layers")
    parts = saved_parts(session.settings, session.engine.save(reference))
    base = base_from_parts(name, _image(name, parts).tag, *parts, python)  # refused before it is loaded
    ensure_loaded(session.engine, session.settings, _image(name, parts))
    return _pinned(session.settings, base)


def _made(session: Session, name: str, parts: Parts) -> Base:
    """Load and pin what was built. The loaded image is probed, because it is what will run."""
    image = _image(name, parts)
    ensure_loaded(session.engine, session.settings, image)
    python = probe_python(session.engine, image.tag)
    return _pinned(session.settings, base_from_parts(name, image.tag, *parts, python))


def _image(name: str, parts: Parts) -> BaseImage:
    ref = BaseRef(name=name, digest=Digest.of(parts.manifest), config_digest=Digest.of(parts.config))
    return BaseImage(ref, *parts)


def _pinned(settings: Settings, base: Base) -> Base:
    layout = ImageLayout(settings.layout)
    layout.put_bytes(base.config)  # before what names it
    layout.put_bytes(base.manifest)
    write_pin(settings.pins, base.ref.name, base)
    return base


def _load(session: Session, base: Base) -> None:
    """Load a base that the engine has lost. A registry's base is pulled when it is needed."""
    image = BaseImage(base.ref, base.manifest, base.config, base.layers)
    if base.reference == image.tag:
        ensure_loaded(session.engine, session.settings, image)


def _note_committed(settings: Settings, base: Base, watch: Watch) -> None:
    for pin in list_pins(settings):
        if pin.name == base.ref.name and pin.committed and pin.digest != base.ref.digest:
            watch.note(
                f"images/bases.toml pins {pin.name} to {pin.digest}, and that comes before this box's pin"
            )


def _has_host(repository: str) -> bool:
    """As engines read a name: the part before the first slash is a host if it has a dot or a port."""
    first, slash, _ = repository.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


@contextmanager
def _one_at_a_time(settings: Settings) -> Iterator[None]:
    """One maker of bases per home; another waits."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with locked(settings.home / "bases.lock"):
        yield


@contextmanager
def _disk(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the base could not be written: {error}",
            f"making cpu takes 3 GB, cuda 22 GB, in {settings.home} and in the engine's folder",
        ) from error
