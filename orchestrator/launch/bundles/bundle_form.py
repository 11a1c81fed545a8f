"""What a bundle is: one uncompressed tar of which every byte follows from its first member and its blobs.

    reprise.json            what is in it, and in which order (Bundle)
    blobs/sha256/<hex>...   runs, manifest, config, listings of folders
    oci-layout, index.json, manifest.json    by which skopeo, podman and Docker find the image
    blobs/sha256/<hex>...   all others, sorted

So a reader compares instead of parsing. A member that is unknown, doubled, moved or a link differs from the
bytes that must follow. The digest of `reprise.json` is in the index's annotations.
"""

from __future__ import annotations

import json
from io import BytesIO
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from orchestrator.digest import Digest, canonical_json
from orchestrator.image.assembly import tar
from orchestrator.image.assembly.load_archive import Loadable, descriptors
from orchestrator.record.run_record import RunRecord
from orchestrator.spec.folder_list import FileEntry, read_list
from orchestrator.untrusted_json import first_problem, marks, read_untrusted
from orchestrator.value import Value

FORMAT = 1
DOCUMENT = "reprise.json"
ANNOTATION = "reprise.bundle"
END = bytes(2 * tar.BLOCK)

# What an import reads into memory, and what an export therefore does not write.
MAX_DOCUMENT = 128 << 20  # bytes of `reprise.json`
MAX_BLOBS = 1_000_000
MAX_RECORD = 256 << 20  # bytes of one run: a million points of metrics make 60 MB
MAX_SMALL = 64 << 20  # bytes of a folder's listing
MAX_CONFIG = 8 << 20  # bytes of a manifest or a config; the same limit as for a registry's

Size = Annotated[int, Field(ge=0, lt=1 << 50)]  # bytes


class BundleInput(Value):
    """Input data. Programs name it by the digest of the file, or of the folder's listing."""

    digest: Digest
    folder: bool


class Bundle(Value):
    format: Literal[1] = 1
    image: Digest  # of the manifest
    config: Digest
    left_out: tuple[Digest, ...] = ()  # layers of the base
    runs: tuple[Digest, ...] = ()  # of Carried, originals before their reruns
    inputs: tuple[BundleInput, ...] = ()
    blobs: tuple[tuple[Digest, Size], ...]  # in the order of the archive

    @property
    def first(self) -> tuple[Digest, ...]:
        """Blobs that say what all others are."""
        listings = (one.digest for one in self.inputs if one.folder)
        return tuple(dict.fromkeys((*self.runs, self.image, self.config, *listings)))

    @property
    def most(self) -> dict[Digest, int]:
        """Bytes that each of `first` may have."""
        found = dict.fromkeys(self.first, MAX_SMALL) | dict.fromkeys(self.runs, MAX_RECORD)
        return found | dict.fromkeys((self.image, self.config), MAX_CONFIG)

    def to_bytes(self) -> bytes:
        return canonical_json(self.model_dump(mode="json"))


def in_order(first: tuple[Digest, ...], sizes: dict[Digest, int]) -> tuple[tuple[Digest, int], ...]:
    rest = sorted(sizes.keys() - set(first))
    return tuple((digest, sizes[digest]) for digest in (*first, *rest))


def read_bundle(data: bytes) -> Bundle:
    """From the bytes of `reprise.json`. ValueError says what is wrong."""
    refuse_excess(data)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    known = found.get("format") if isinstance(found, dict) else None
    if known != FORMAT:
        raise ValueError(
            f"format {known!r:.40} is not known, only {FORMAT}: another release of Reprise wrote it"
        )
    try:
        bundle = read_untrusted(Bundle, data)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None
    sizes = dict(bundle.blobs)
    refuse_excess(data, len(bundle.blobs))
    if not sizes.keys() >= set(bundle.first) or bundle.blobs != in_order(bundle.first, sizes):
        raise ValueError("the blobs are not in their order")
    return bundle


def refuse_excess(data: bytes, blobs: int = 0) -> None:
    """ValueError for a `reprise.json` that no import takes. `blobs`: their number, where it is known."""
    if len(data) > MAX_DOCUMENT:
        raise ValueError(f"{len(data)} bytes, more than {MAX_DOCUMENT}")
    # A blob makes three marks, and one more where it is a run; all else makes few.
    if blobs > MAX_BLOBS or marks(data) > 4 * MAX_BLOBS + 1000:
        raise ValueError(f"more than {MAX_BLOBS} blobs")


def index_files(image: Loadable, document: bytes) -> dict[str, bytes]:
    return descriptors(image, {ANNOTATION: Digest.of(document)})


def evidence(run: RunRecord) -> dict[Digest, int | None]:
    """Every blob that a run's rows name, with its size in bytes where they know it."""
    found: dict[Digest, int | None] = {}
    if run.git is not None and run.git.patch_digest is not None:
        found[run.git.patch_digest] = None
    found |= {item.digest: item.size for item in run.traces}
    if run.log is not None:
        found[run.log.digest] = run.log.size
    return found | {item.digest: item.size for item in run.outputs if item.digest is not None}


def read_listing(data: bytes) -> list[FileEntry]:
    """A folder's listing as spec/inputs.py hashes it. ValueError for anything else."""
    return list(read_list(BytesIO(data)))
