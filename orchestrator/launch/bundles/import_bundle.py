"""import: a bundle's image, evidence, inputs and runs come in, each byte checked, the rows last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from orchestrator.digest import Digest, chunks_of
from orchestrator.disk_room import Room
from orchestrator.errors import RepriseError, StoreError
from orchestrator.image.image_check import check_image
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Image
from orchestrator.image.stored_image import image_of
from orchestrator.launch.bundles.bundle_archive import BundleArchive, open_archive
from orchestrator.launch.bundles.bundle_form import (
    BundleInput,
    evidence,
    index_files,
    read_listing,
)
from orchestrator.launch.bundles.staging import Staging, staging
from orchestrator.launch.crash_points import crash_point
from orchestrator.launch.move_images import find_base
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import RunRecord
from orchestrator.record.runs.author import person
from orchestrator.record.transfer.import_runs import Brought, Carried
from orchestrator.run.collect.output_files import BlobSink
from orchestrator.untrusted_json import first_problem
from orchestrator.value import Value
from orchestrator.verdict.verdict_model import Verdict


class ImportedBundle(Value):
    bundle: Digest
    image: Digest
    name: str  # of the job
    runs: tuple[Brought, ...]
    inputs: tuple[BundleInput, ...]
    left_out: tuple[Digest, ...]


class Roles:
    """What each blob of a bundle is for. A blob can have several roles."""

    def __init__(self, archive: BundleArchive) -> None:
        self._archive = archive
        self.sizes = dict(archive.bundle.blobs)
        self.layers: set[Digest] = set()
        self.evidence: set[Digest] = set()
        self.inputs: set[Digest] = set()
        self.to_keep: set[Digest] = set()  # of inputs that are not here yet

    def add(self, group: set[Digest], named: Mapping[Digest, int | None], by: str) -> None:
        """Add blobs that `by` names. StoreError where the bundle lacks one or gives it another size."""
        for digest, size in named.items():
            if digest not in self.sizes:
                raise self._archive.wrong(f"blob {digest} is named by {by}, and is not in it")
            if size not in (None, self.sizes[digest]):
                raise self._archive.wrong(f"blob {digest} has {self.sizes[digest]} bytes, {by} says {size}")
        group.update(named)

    def refuse_strangers(self) -> None:
        named = {*self._archive.bundle.first, *self.layers, *self.evidence, *self.inputs}
        strange = sorted(self.sizes.keys() - named)
        if strange:
            raise self._archive.wrong(f"blob {strange[0]} is named by nothing in it")


def import_bundle(session: Session, path: Path, watch: Watch) -> ImportedBundle:
    """Bring everything in; what is here already stays as it is.

    UsageError: not a bundle, or a run that is here with other values. StoreError: damaged, or too large for
    the disk, or no place has the base that it leaves out. After an error nothing is recorded.
    """
    watch.phase("import", str(path))
    with open_archive(path) as archive, staging(session.settings, session.inputs) as stage:
        bundle, source = archive.bundle, Digest.of(archive.document)

        def carried() -> Iterator[Carried]:
            """One at a time: a run can be large."""
            return (Carried.from_bytes(stage.path(run).read_bytes()) for run in bundle.runs)

        image, roles = _read_first(session, archive, stage)
        if bundle.runs:
            session.record.transfer.try_in(carried, source)  # before gigabytes are read
        if bundle.left_out:
            _check_base(session, image, watch)
        archive.on_read = _room(session, archive, stage, roles).wrote
        # An image alone names no blobs, so no record has to own them.
        with session.store.batch() if bundle.runs else session.store.unowned_batch() as sink:
            _read_rest(session, archive, stage, roles, sink, watch)
            archive.expect_end()
        crash_point("stored")
        for item in bundle.inputs:
            if item.digest in roles.to_keep:
                stage.place_input(item)
        layout = ImageLayout(session.settings.layout)
        layout.put_bytes(image.config)  # before what names it
        layout.put_bytes(image.manifest)
        crash_point("placed")

        brought = session.record.transfer.bring_in(carried, person(), source) if bundle.runs else []
    return ImportedBundle(
        bundle=source,
        image=bundle.image,
        name=image.program.name,
        runs=tuple(brought),
        inputs=bundle.inputs,
        left_out=bundle.left_out,
    )


def _read_first(session: Session, archive: BundleArchive, stage: Staging) -> tuple[Image, Roles]:
    """Read and check runs, manifest, config and listings. They say exactly which other blobs must come."""
    bundle, roles = archive.bundle, Roles(archive)
    for digest, most in bundle.most.items():
        size = roles.sizes[digest]
        data = archive.read_bytes(digest, size, f"blob {digest}", most)
        stage.keep(BytesIO(data), size)
    image = _image(session, archive, stage)
    _add_layers(archive, image, roles)
    seen: set[str] = set()
    for digest in bundle.runs:
        run = _check_run(archive, stage, digest, image)
        if run.id in seen:
            raise archive.wrong(f"run {run.id} is in it twice")
        seen.add(run.id)
        roles.add(roles.evidence, evidence(run), f"run {run.id}")
    for item in bundle.inputs:
        _add_input(archive, stage, item, image, roles)
    roles.refuse_strangers()
    archive.expect_files(index_files(image, archive.document))
    archive.expect_rest([size for _, size in bundle.blobs[len(bundle.first) :]])
    return image, roles


def _image(session: Session, archive: BundleArchive, stage: Staging) -> Image:
    bundle = archive.bundle
    manifest, config = (stage.path(one).read_bytes() for one in (bundle.image, bundle.config))
    try:
        image = image_of(ImageLayout(session.settings.layout), manifest, config)
        check_image(session.settings, image)
    except RepriseError as error:
        raise archive.wrong(f"its image: {error.message}") from error
    except (ValueError, RecursionError) as error:
        raise archive.wrong(f"its image: {error}") from error
    return image


def _add_layers(archive: BundleArchive, image: Image, roles: Roles) -> None:
    base = {layer.digest for layer in image.base_layers}
    left_out = archive.bundle.left_out
    if left_out and left_out != tuple(sorted(base)):
        raise archive.wrong("what it leaves out is not the base")
    layers = {layer.digest: layer.size for layer in image.layers if layer.digest not in left_out}
    roles.add(roles.layers, layers, "the image")


def _check_run(archive: BundleArchive, stage: Staging, digest: Digest, image: Image) -> RunRecord:
    """Check a run's values and verdicts, and that its program is the image's."""
    try:
        item = Carried.from_bytes(stage.path(digest).read_bytes())
        for line in item.verdicts:
            Verdict.model_validate(line.document)
    except ValidationError as error:
        raise archive.wrong(f"blob {digest}: {first_problem(error)}") from None
    except ValueError as error:
        raise archive.wrong(f"blob {digest}: {error}") from None
    run = item.run
    theirs, ours = (
        (run.program, run.base, run.config_digest),
        (image.program, image.base, image.config_digest),
    )
    if run.image == image.digest and theirs != ours:
        raise archive.wrong(f"run {run.id} names another program than its image has")
    layers, true_layers = ([layer.diff_id for layer in one.layers] for one in (item.image, image))
    if run.image == image.digest and layers != true_layers:
        raise archive.wrong(f"run {run.id} names other layers than its image has")
    return run


def _add_input(archive: BundleArchive, stage: Staging, item: BundleInput, image: Image, roles: Roles) -> None:
    if item.digest not in image.program.inputs.values():
        raise archive.wrong(f"input {item.digest} is none of the image's")
    files: dict[Digest, int | None] = {item.digest: None}
    if item.folder:
        try:
            entries = read_listing(stage.path(item.digest).read_bytes())
        except ValueError as error:
            raise archive.wrong(f"input {item.digest}: {error}") from None
        for entry in entries:
            held = roles.sizes.get(entry.digest)
            if held != entry.size:
                said = "is not in it" if held is None else f"has {held} bytes"
                raise archive.wrong(
                    f"input {item.digest} lists {entry.shown} with {entry.size} bytes, and its blob "
                    f"{entry.digest} {said}"
                )
            files[entry.digest] = entry.size
    roles.add(roles.inputs, files, f"input {item.digest}")
    if not stage.has_input(item):
        roles.to_keep.update(files)


def _check_base(session: Session, image: Image, watch: Watch) -> None:
    where = find_base(session, image, watch)
    if where is None:
        raise StoreError(
            f"the bundle leaves out the base {image.base.name} {image.base.digest}, and this box lacks it: "
            "its layers are neither here, nor in the engine, nor in a registry",
            "export without --thin, or bring the base here first; nothing was recorded",
        )
    watch.note(f"the base {image.base.name} is {where}")


def _room(session: Session, archive: BundleArchive, stage: Staging, roles: Roles) -> Room:
    """Room for the blobs to import. StoreError where the disk has too little for the sizes in the bundle."""
    settings = session.settings
    layout = ImageLayout(settings.layout)
    kept = settings.home if settings.bucket is not None else settings.store
    layers = [one for one in roles.layers if not layout.has(one, roles.sizes[one])]
    places = ((stage.folder, roles.to_keep), (layout.folder, layers), (kept, roles.evidence))
    sizes = Counter[Path]()
    for place, named in places:
        sizes[place] += sum(roles.sizes[one] for one in named)
    return Room(f"{archive.path}", sizes)


def _read_rest(
    session: Session, archive: BundleArchive, stage: Staging, roles: Roles, sink: BlobSink, watch: Watch
) -> None:
    bundle = archive.bundle
    route = _Route(ImageLayout(session.settings.layout), stage, roles, sink)
    for digest in bundle.first:
        size = stage.path(digest).stat().st_size
        with stage.path(digest).open("rb") as stream:
            route.further(digest, size, stream)
    total, done = sum(size for _, size in bundle.blobs), sum(roles.sizes[one] for one in bundle.first)
    for digest, size in bundle.blobs[len(bundle.first) :]:
        with archive.blob(digest, size) as stream:
            if not route.all(digest, size, stream):
                raise archive.other(digest)
        done += size
        watch.moved(done, total)


class _Route:
    """Takes each blob to its places. Each place hashes what it takes and names it by that hash."""

    def __init__(self, layout: ImageLayout, stage: Staging, roles: Roles, sink: BlobSink) -> None:
        self._layout, self._stage, self._roles, self._sink = layout, stage, roles, sink

    def all(self, digest: Digest, size: int, stream: BinaryIO) -> bool:
        """Store a blob. False where its bytes have another digest; then nothing has the name."""
        if digest in self._roles.to_keep:
            if self._stage.keep(stream, size) != digest:
                return False
            with self._stage.path(digest).open("rb") as kept:
                self.further(digest, size, kept)
            return True
        if digest in self._roles.layers and not self._layout.has(digest, size):
            if self._layout.put_chunks(chunks_of(stream), digest)[0] != digest:
                return False
            if digest in self._roles.evidence:
                with self._layout.open(digest) as kept:
                    self._sink.add(kept, size)
            return True
        if digest in self._roles.evidence:
            return self._sink.add(stream, size) == digest
        return Digest.of_stream(stream) == digest

    def further(self, digest: Digest, size: int, stream: BinaryIO) -> None:
        """Store a checked blob in its other places."""
        if digest in self._roles.layers:
            self._layout.put_chunks(chunks_of(stream), digest)
            stream.seek(0)
        if digest in self._roles.evidence:
            self._sink.add(stream, size)
