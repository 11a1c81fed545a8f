"""Making a base's layers from a recipe, with the engine's builder; the result is normalised.

Why, and measured times: docs/decisions/0006-normalised-bases.md.
"""

from __future__ import annotations

import shutil
import tarfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from orchestrator.digest import Digest
from orchestrator.errors import EngineError, EngineMissingError
from orchestrator.image.assembly.assemble import manifest_of
from orchestrator.image.base.base_manifest import Parts, made_config
from orchestrator.image.base.normalise import layer_chunks, read_tree, split
from orchestrator.image.base.os_image import bootstrap
from orchestrator.image.base.recipe import BOOTSTRAP, Recipe
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Layer, LayerKind
from orchestrator.image.wheels.fetch_wheels import WheelFile, fetch_wheels
from orchestrator.launch.bases.probe_python import probe_python
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.settings import Settings

SCRATCH = "reprise-build"  # repository of what is in the engine only while a base is made
PYTHON = "opt/python"  # where Dockerfile.base installs; a layer of its own
OS_STAGE = "os"  # the stage of Dockerfile.base that has a Python and none of our packages yet


def make_parts(session: Session, recipe: Recipe, watch: Watch) -> Parts:
    """Build the recipe and normalise the result. Two builds of the same inputs give the same bytes."""
    settings, engine = session.settings, session.engine
    with _scratch(session) as tag:
        system = _os_image(session, recipe, tag("rootfs"), watch)
        watch.phase("base", "python")
        _build(session, recipe, (), system, OS_STAGE, tag(OS_STAGE))
        python = probe_python(engine, tag(OS_STAGE))
        recipe.check_python(python.version)
        watch.phase("base", f"wheels for Python {python.version}")
        wheels = fetch_wheels(settings, recipe.requirements, python, recipe.wheel_index)
        watch.phase("base", f"installing {len(wheels)} packages")
        _build(session, recipe, wheels, system, recipe.target, tag(recipe.target))
        watch.phase("base", "layers")
        layers = _layers(settings, engine.export(tag(recipe.target)))
        config = made_config(engine.image_settings(tag(recipe.target)), layers)
    return Parts(manifest_of(config, layers), config, layers)


class _Tags:
    """Tags for one home's builds: the same each time, so that a killed build leaves nothing for good."""

    def __init__(self, home: Path) -> None:
        self._start = Digest.of(str(home).encode()).short
        self.used: dict[str, None] = {}

    def __call__(self, stage: str) -> str:
        tag = f"{SCRATCH}:{self._start}-{stage}"
        self.used[tag] = None
        return tag


@contextmanager
def _scratch(session: Session) -> Iterator[_Tags]:
    """Tags whose images are removed at the end, and with them gigabytes of the builder's cache."""
    tags = _Tags(session.settings.home)
    try:
        yield tags
    finally:
        for tag in reversed(tags.used):
            if session.engine.image(tag) is not None:
                session.engine.remove_image(tag)


def _os_image(session: Session, recipe: Recipe, tag: str, watch: Watch) -> str:
    """The image that the Dockerfile starts from: pulled by digest, else made from packages."""
    if recipe.os_image != BOOTSTRAP:
        watch.phase("base", f"pulling {recipe.os_image}")
        try:
            if session.engine.image(recipe.os_image) is None:
                repository, _, digest = recipe.os_image.partition("@")
                session.engine.pull(repository, digest)
        except EngineMissingError:
            raise
        except EngineError as error:
            watch.note(f"{error.message}; an OS image is made from packages instead")
        else:
            return recipe.os_image
    release = recipe.release
    watch.phase("base", f"{release.distribution} {release.codename} from packages")
    home = session.settings.home
    for stale in home.glob(".base-*"):  # of a maker that was killed; there is only one at a time
        shutil.rmtree(stale)
    with TemporaryDirectory(dir=home, prefix=".base-") as folder:
        archive = Path(folder) / "root.tar"
        bootstrap(release, archive, recipe.packages)
        repository, _, name = tag.partition(":")
        with archive.open("rb") as stream:
            session.engine.import_image(stream, repository, name, [])
    return tag


def _build(
    session: Session, recipe: Recipe, wheels: Iterable[WheelFile], system: str, target: str, tag: str
) -> None:
    """One stage of the Dockerfile, without the builder's cache. EngineError has the log's last lines."""
    log: deque[str] = deque(maxlen=4)
    arguments = {"OS_IMAGE": system, "PACKAGES": " ".join(recipe.packages)}
    with TemporaryFile(dir=session.settings.home) as context:  # gigabytes of wheels; /tmp may be memory
        with tarfile.open(fileobj=context, mode="w") as archive:
            archive.add(recipe.dockerfile, "Dockerfile")
            archive.add(recipe.requirements, "requirements.txt")
            for wheel in wheels:
                archive.add(wheel.path, f"wheels/{wheel.filename}")
        context.seek(0)
        try:
            for line in session.engine.build(context, arguments, tag, no_cache=True, target=target):
                log.append(line)
        except EngineMissingError:
            raise
        except EngineError as error:
            raise EngineError("\n".join([error.message, *log]), error.hint) from error


def _layers(settings: Settings, export: Iterable[bytes]) -> tuple[Layer, ...]:
    """The exported file system as two layers of the layout: the operating system, and our Python."""
    layout = ImageLayout(settings.layout)
    made = []
    with TemporaryFile(dir=settings.home) as spool:
        for chunk in export:
            spool.write(chunk)
        spool.seek(0)
        parts = split(read_tree(spool), lambda path: path == PYTHON or path.startswith(f"{PYTHON}/"))
        for title, nodes in zip(("operating system", "python"), parts, strict=True):
            digest, size = layout.put_chunks(layer_chunks(nodes))
            made.append(
                Layer(
                    kind=LayerKind.BASE,
                    digest=digest,
                    diff_id=digest,
                    size=size,
                    title=f"base: {title}",
                    path=layout.path(digest),
                )
            )
    return tuple(made)
