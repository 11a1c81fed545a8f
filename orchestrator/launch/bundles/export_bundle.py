"""export: an image with its runs and their evidence into one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from functools import partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import BinaryIO

from orchestrator.digest import Digest, canonical_json
from orchestrator.disk_room import hint_after
from orchestrator.errors import StoreError, UsageError
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Image
from orchestrator.image.stored_image import stored_image
from orchestrator.launch.bundles.bundle_archive import Piece, write_archive
from orchestrator.launch.bundles.bundle_form import (
    Bundle,
    BundleInput,
    evidence,
    in_order,
    index_files,
    read_listing,
    refuse_excess,
)
from orchestrator.launch.session import Session
from orchestrator.launch.submit.find_inputs import find_inputs
from orchestrator.launch.watch import Watch
from orchestrator.record.runs.unreadable_rows import unreadable
from orchestrator.record.transfer.import_runs import Carried
from orchestrator.scratch import scratch_folder
from orchestrator.spec.inputs import listing, open_input
from orchestrator.value import Value


class ExportRequest(Value):
    target: str  # a digest, a run, or a part of either
    path: Path
    thin: bool = False  # leave the base's layers out
    inputs: bool = False  # take the input data along
    input_paths: dict[str, Path] = {}  # where inputs are, if not where they were
    image_only: bool = False  # no runs
    force: bool = False  # replace a file that is there


class ExportedBundle(Value):
    path: Path
    size: int  # bytes
    bundle: Digest
    image: Digest
    runs: tuple[str, ...]
    left_out: tuple[Digest, ...]
    inputs: tuple[Digest, ...]


def export(session: Session, request: ExportRequest, watch: Watch) -> ExportedBundle:
    """Write the bundle. The same runs with the same verdicts give the same bytes.

    UsageError: nothing fits, the run is open, the file is there. StoreError: bytes are missing or damaged.
    """
    if os.path.lexists(request.path) and not request.force:
        raise UsageError(f"{request.path} is there already", "--force replaces it")
    digest, chosen = _chosen(session, request.target, watch)
    watch.phase("export", digest)
    image = _image(session, digest, request.thin, watch)
    with _scratch() as folder:
        parts = _BundleParts(session, folder)
        _gather(session, [] if request.image_only else chosen, parts)
        parts.add_image(image, request.thin)
        with _inputs(session, request, image, chosen) as paths:
            parts.add_inputs(image, paths)
            bundle = parts.bundle(image)
            files = index_files(image, bundle.to_bytes())
            size = write_archive(request.path, bundle, files, parts.pieces, watch)
    return ExportedBundle(
        path=request.path,
        size=size,
        bundle=Digest.of(bundle.to_bytes()),
        image=image.digest,
        runs=tuple(parts.runs),
        left_out=bundle.left_out,
        inputs=tuple(item.digest for item in bundle.inputs),
    )


def _inputs(
    session: Session, request: ExportRequest, image: Image, chosen: list[str]
) -> AbstractContextManager[dict[str, Path]]:
    """Where the input data lies that is to go along."""
    if not request.inputs and not request.input_paths:
        return nullcontext({})
    runs = map(session.record.run, chosen)
    known = {name: str(path) for run in runs for name, path in run.input_paths.items()}
    given = {name: str(path) for name, path in request.input_paths.items()}
    return find_inputs(session, image.program.inputs, known | given)


@contextmanager
def _scratch() -> Iterator[Path]:
    with scratch_folder("reprise-export-") as folder:
        try:
            yield folder
        except OSError as error:
            hint = hint_after(error, "make room on the disk")
            raise StoreError(f"the bundle could not be written: {error}", hint) from error


def _chosen(session: Session, text: str, watch: Watch) -> tuple[Digest, list[str]]:
    """The image, and the finished runs that were asked for."""
    record = session.record
    if not text.startswith("sha256:"):
        run = record.run(record.find(text))
        if not run.state.final:
            record.transfer.carry(run.id)  # raises UsageError for an open run
        return run.image, [run.id]
    runs = record.history.runs_of_image(text)
    if runs:
        ended = [run for run in runs if (state := record.state(run)) is not None and state.final]
        if len(ended) < len(runs):
            watch.note(f"{len(runs) - len(ended)} open runs of this image stay here")
        return record.run(runs[0]).image, ended
    image = stored_image(session.settings, text)
    if image is None:
        raise UsageError(
            f"no image {text} here: neither the record nor this box's layers know it",
            "`reprise history` shows the digests of recorded runs",
        )
    return image.digest, []


def _gather(session: Session, chosen: list[str], parts: _BundleParts) -> None:
    """The runs, and those that they or their verdicts name, originals before their reruns."""
    found: dict[str, tuple[datetime, str | None]] = {}
    waiting = list(chosen)
    while waiting:
        run = waiting.pop()
        if run in found:
            continue
        item = session.record.transfer.carry(run)
        parts.add_run(item)
        found[run] = (item.run.created_at, item.run.rerun_of)
        waiting += [line.original for line in item.verdicts]
        waiting += [item.run.rerun_of] if item.run.rerun_of else []
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for run in sorted(found, key=lambda run: (found[run][0], run)):
        above = found[run][1]
        sorter.add(run, *([above] if above else []))
    try:
        parts.order(list(sorter.static_order()))
    except CycleError as error:
        raise unreadable(f"run {error.args[1][0]}", ValueError("it is a rerun of its own rerun")) from error


def _image(session: Session, digest: Digest, thin: bool, watch: Watch) -> Image:
    """The image with all layers that are to be written; out of the registry where it has them."""
    from orchestrator.launch.move_images import fetch_base, layers_here

    image = layers_here(session, digest, watch)
    if not thin and any(layer.path is None for layer in image.layers):
        fetch_base(session, image, watch)
        layout = ImageLayout(session.settings.layout)
        lacking = [one for one in image.layers if not layout.has(one.digest, one.size)]
        if lacking:
            raise StoreError(
                f"layer {lacking[0].digest} of the base {image.base.name} is not on this box",
                "build or pin the base again, or leave it out with --thin where the other side has it",
            )
    return image


class _BundleParts:
    """What goes into the bundle, gathered before the first byte is written."""

    def __init__(self, session: Session, folder: Path) -> None:
        self._session, self._folder = session, folder
        self.pieces: dict[Digest, Piece] = {}
        self.runs: dict[str, Digest] = {}
        self._left_out: tuple[Digest, ...] = ()
        self._inputs: dict[Digest, BundleInput] = {}

    def add_run(self, item: Carried) -> None:
        """Keep the run's document in a file: a thousand of them would fill the memory."""
        run, data = item.run, item.to_bytes()
        digest = self.runs[run.id] = Digest.of(data)
        path = self._folder / digest.hex
        path.write_bytes(data)
        self.pieces[digest] = Piece(len(data), _file(path), f"run {run.id}")
        store = self._session.store
        for blob, size in evidence(run).items():
            if blob in self.pieces:
                continue
            if not store.has(blob):
                raise StoreError(f"run {run.id} names blob {blob}, which is not in the store")
            length = len(store.read(blob)) if size is None else size
            self.pieces[blob] = Piece(length, _stored(store.open, blob), f"a blob of run {run.id}")

    def order(self, runs: list[str]) -> None:
        self.runs = {run: self.runs[run] for run in runs}

    def add_image(self, image: Image, thin: bool) -> None:
        layout = ImageLayout(self._session.settings.layout)
        base = {layer.digest for layer in image.base_layers} if thin else set()
        self._left_out = tuple(sorted(base))
        for data in (image.manifest, image.config):
            self.pieces[Digest.of(data)] = Piece.of(data, "the image's manifest or config")
        for layer in image.layers:
            if layer.digest not in base:
                name = f"layer {layer.title or layer.kind.value}"
                self.pieces[layer.digest] = Piece(layer.size, _stored(layout.open, layer.digest), name)

    def add_inputs(self, image: Image, paths: Mapping[str, Path]) -> None:
        """Add input data. Writing it finds bytes that are not the program's."""
        for name, path in paths.items():
            try:
                self._add_input(name, image.program.inputs[name], path)
            except (OSError, UnicodeEncodeError) as error:
                raise UsageError(f"input {name}: {path}: {error}", f"--input {name}=PATH") from error

    def _add_input(self, name: str, digest: Digest, path: Path) -> None:
        folder = path.is_dir()
        self._inputs[digest] = BundleInput(digest=digest, folder=folder)
        if not folder:
            self.pieces[digest] = Piece(path.stat().st_size, _file(path), f"input {name}, {path}")
            return
        entries = listing(path)
        data = canonical_json(entries)
        if Digest.of(data) != digest:
            raise UsageError(
                f"input {name}: {path} is {Digest.of(data)}, not {digest}", f"--input {name}=PATH"
            )
        try:
            read_listing(data)
        except ValueError as error:  # links make paths that no list of a folder may have
            raise UsageError(f"input {name}: {path}: {error}", "leave --inputs out") from error
        self.pieces[digest] = Piece.of(data, f"the listing of {path}")
        for file, text, size in entries:
            self.pieces[Digest(f"sha256:{text}")] = Piece(
                size, partial(open_input, path, file), f"input {name}, {path / file}"
            )

    def bundle(self, image: Image) -> Bundle:
        draft = Bundle(
            image=image.digest,
            config=image.config_digest,
            left_out=self._left_out,
            runs=tuple(self.runs.values()),
            inputs=tuple(sorted(self._inputs.values(), key=lambda item: item.digest)),
            blobs=(),
        )
        sizes = {digest: piece.size for digest, piece in self.pieces.items()}
        bundle = draft.model_copy(update={"blobs": in_order(draft.first, sizes)})
        self._refuse_excess(bundle)
        return bundle

    def _refuse_excess(self, bundle: Bundle) -> None:
        """UsageError for a bundle that no import takes."""
        hint = "export single runs, or leave --inputs out"
        for digest, most in bundle.most.items():
            piece = self.pieces[digest]
            if piece.size > most:
                raise UsageError(
                    f"{piece.what} has {piece.size} bytes, and a bundle takes {most} at most", hint
                )
        try:
            refuse_excess(bundle.to_bytes(), len(bundle.blobs))
        except ValueError as error:
            raise UsageError(f"this is too much for one bundle: {error}", hint) from error


def _file(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")


def _stored(opener: Callable[[Digest], BinaryIO], digest: Digest) -> Callable[[], BinaryIO]:
    return lambda: opener(digest)
