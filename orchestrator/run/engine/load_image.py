"""Loading an assembled image into the engine: without layers that it has, where it can; always verified."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.errors import EngineError, EngineMissingError, StoreError
from orchestrator.image.assembly.load_archive import Loadable, full_archive, thin_archive
from orchestrator.image.image_model import LayerKind
from orchestrator.run.engine.engine import Engine
from orchestrator.settings import Settings

LOADS = 3  # tries, where something removes the image at once


def is_loaded(engine: Engine, image: Loadable) -> bool:
    """Whether the engine has exactly this image under its tag.

    An overlay2 store calls an image by its config's digest, a containerd store by its manifest's. A load
    whose base was absent can answer 200 and leave a broken image, so the layers are compared as well.
    """
    found = engine.image(image.tag)
    return (
        found is not None
        and found.id in (image.config_digest, image.digest)
        and found.diff_ids == tuple(layer.diff_id for layer in image.layers)
    )


def ensure_loaded(
    engine: Engine, settings: Settings, image: Loadable, fetch: Callable[[], None] | None = None
) -> bool:
    """Load the image unless it is there. Returns whether it was loaded. EngineError where loading fails.

    `fetch` brings layers into this box's layout; it is called where the engine lacks the base.
    """
    if is_loaded(engine, image):
        return False
    for held in _guesses(image):
        if _thin(engine, image, held):
            return True
    if fetch is not None:
        fetch()
    for _ in range(LOADS):
        try:
            engine.load(full_archive(settings, image))
        except StoreError as error:
            raise EngineError(
                f"the engine lacks the base {image.base.name}, and so does this box: {error.message}",
                f"`reprise base build {image.base.name}`, or pull or load the base into the engine",
            ) from error
        if is_loaded(engine, image):
            return True
        if engine.image(image.tag) is not None:
            raise EngineError(
                f"the engine took image {image.digest} and shows another one under {image.tag}",
                "`reprise doctor` looks at the engine; an image store that was edited by hand is one cause",
            )
    raise EngineError(
        f"the engine took image {image.digest} {LOADS} times, and each time it was removed again at once",
        "something removes images on that machine, such as `docker system prune --all` again and again",
    )


def _guesses(image: Loadable) -> list[int]:
    """How many leading layers to leave out, most first: no engine tells which layers it has.

    The first guess, all layers but the source's, is right for every submission after the first with the same
    wheels. A wrong guess costs one refused request.
    """
    base = sum(layer.kind is LayerKind.BASE for layer in image.layers)
    wheels = any(layer.kind in (LayerKind.WHEEL, LayerKind.WHEELS) for layer in image.layers)
    return [len(image.layers) - 1, base] if wheels else [base]


def _thin(engine: Engine, image: Loadable, held: int) -> bool:
    try:
        engine.load(thin_archive(image, held))
    except EngineMissingError:
        raise
    except EngineError:
        return False  # it lacks a layer that was left out; the full archive shows any other fault
    return is_loaded(engine, image)
