"""Images against the specs that they claim, and the record against both.

Each image is assembled again from its own program.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from orchestrator.audit.findings import Finding, Kind, Progress
from orchestrator.digest import Digest
from orchestrator.errors import (
    BaseNotPinnedError,
    InfrastructureError,
    RegistryError,
    StoreError,
    UsageError,
)
from orchestrator.image.assembly.assemble import documents
from orchestrator.image.assembly.read_source_layer import source_files
from orchestrator.image.base.resolve_base import resolve_base
from orchestrator.image.image_model import Base, Image, LayerKind
from orchestrator.image.payload_releases import payload_problem
from orchestrator.image.stored_image import stored_image
from orchestrator.launch.move_images import read_remote
from orchestrator.launch.session import Session
from orchestrator.launch.submit.rerun_target import facts_of
from orchestrator.message_wording import count
from orchestrator.record.ledger.audit_pages import ImageLine
from orchestrator.record.runs.unreadable_rows import UnreadableError
from orchestrator.spec.program import Program
from orchestrator.structural_difference import differences


class Claims:
    """Checks images one by one; remembers bases, and what it could not check."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._bases: dict[str, Base | None] = {}
        self._absent: list[Digest] = []  # images whose bytes are not here
        self._unbuilt: dict[str, int] = {}  # base -> images over it that could not be assembled again
        self.rebuilt = 0

    def check(self, line: ImageLine) -> Iterator[Finding]:
        try:
            image = self._find(line.digest)
        except (StoreError, UsageError, RegistryError) as error:
            yield Finding.of_image(Kind.IMAGE_CLAIM, line.digest, error.message)
            return
        if image is None:
            self._absent.append(line.digest)
            return
        yield from self._assembled_again(image)
        yield from self._recorded(image, line)

    def rest(self) -> Iterator[Finding]:
        """What could not be checked, in one finding per reason."""
        if self._absent:
            yield Finding(
                kind=Kind.NOT_CHECKED,
                subject=count(len(self._absent), "image"),
                detail=f"neither on this box nor in the registry, such as {self._absent[0]}",
            )
        for base, number in self._unbuilt.items():
            yield Finding(
                kind=Kind.NOT_CHECKED,
                subject=f"{count(number, 'image')} over base {base}",
                detail="the base is not pinned on this box, so nothing over it can be assembled again here",
            )

    def _find(self, digest: Digest) -> Image | None:
        image = stored_image(self._session.settings, digest)
        if image is not None:
            return image
        if self._session.settings.registry is None:
            return None
        try:
            return read_remote(self._session, digest)
        except InfrastructureError:  # the registry's own check reports it
            return None

    def _base(self, digest: Digest) -> Base | None:
        if digest not in self._bases:
            try:
                self._bases[digest] = resolve_base(self._session.settings, f"any@{digest}")
            except (BaseNotPinnedError, StoreError):
                self._bases[digest] = None
        return self._bases[digest]

    def _assembled_again(self, image: Image) -> Iterator[Finding]:
        base = self._base(image.base.digest)
        if base is None:
            self._unbuilt[image.base.digest] = self._unbuilt.get(image.base.digest, 0) + 1
            return
        # The name is what the builder called the base; the digest says which one it is.
        base = base.model_copy(update={"ref": image.base})
        config, manifest = documents(base, image.program, image.packages, image.layers, image.numbers)
        again = Digest.of(manifest)
        if config == image.config and again != image.digest:
            detail = f"its program gives the same config in another manifest, {again}"
            yield Finding.of_image(Kind.IMAGE_CLAIM, image.digest, detail)
        elif config != image.config:
            paths = ", ".join(_paths(json.loads(config), json.loads(image.config)))
            detail = f"its program gives {again}: the config differs in {paths}"
            yield Finding.of_image(Kind.IMAGE_CLAIM, image.digest, detail)
        else:
            self.rebuilt += 1
        yield from _payload(image)

    def _recorded(self, image: Image, line: ImageLine) -> Iterator[Finding]:
        try:
            facts, _ = self._session.record.image(image.digest)
        except UnreadableError as error:
            yield Finding.of_image(Kind.UNREADABLE, image.digest, error.message)
            return
        for name, ours, theirs in (
            ("config digest", facts.config_digest, image.config_digest),
            ("base", facts.base.digest, image.base.digest),
            (
                "layers",
                [layer.diff_id for layer in facts.layers],
                [layer.diff_id for layer in facts_of(image).layers],
            ),
        ):
            if ours != theirs:
                detail = f"{name}: the record says {ours}, the image {theirs}"
                yield Finding.of_image(Kind.IMAGE_RECORD, image.digest, detail)
        for run, document in line.programs:
            yield from _program(run, document, image)
        yield from self._source(image, line)

    def _source(self, image: Image, line: ImageLine) -> Iterator[Finding]:
        layer = next((one for one in image.layers if one.kind is LayerKind.SOURCE), None)
        if line.succeeded is None or layer is None or layer.path is None:
            return
        recorded = self._session.record.everything.source_of(line.succeeded)
        if not recorded:
            return
        there = {one.path: Digest.of_stream(one.stream).hex for one in source_files(layer.path)}
        for path in sorted(recorded.keys() | there.keys()):
            if recorded.get(path) != there.get(path):
                said = f"the record says {recorded.get(path)}, the image {there.get(path)}"
                detail = f"source file {path!r}: {said}"
                yield Finding.of_image(Kind.IMAGE_RECORD, image.digest, detail, line.succeeded)


def _payload(image: Image) -> Iterator[Finding]:
    """The layer that runs before the job's first line, against the release of its number."""
    for layer in image.layers:
        if layer.kind is not LayerKind.RUNTIME or layer.path is None:
            continue
        problem = payload_problem(layer.path, image.numbers.payload)
        # Altered bytes are a finding of box_findings.
        if problem is not None and Digest.of_file(layer.path) == layer.digest:
            detail = f"its payload is not one of Reprise's: {problem}"
            yield Finding.of_image(Kind.IMAGE_CLAIM, image.digest, detail)


def _program(run: str, document: str, image: Image) -> Iterator[Finding]:
    """The record's program of one run against the image's."""
    try:
        program = Program.model_validate_json(document)
    except ValueError as error:
        detail = f"the program cannot be read: {str(error).splitlines()[0]}"
        yield Finding.of_run(Kind.IMAGE_RECORD, run, detail)
        return
    if program != image.program:
        ours, theirs = program.model_dump(mode="json"), image.program.model_dump(mode="json")
        detail = f"its program is not that of its image in {', '.join(_paths(ours, theirs))}"
        yield Finding.of_run(Kind.IMAGE_RECORD, run, detail)


def _paths(one: object, other: object) -> list[str]:
    return [path or "all of it" for path, _, _ in differences(one, other)]


def claim_findings(
    session: Session, lines: Iterable[ImageLine], total: int, progress: Progress
) -> Iterator[Finding]:
    """Every recorded image whose bytes can be read here."""
    claims = Claims(session)
    for done, line in enumerate(lines):
        yield from claims.check(line)
        progress(done + 1, total)
    yield from claims.rest()
