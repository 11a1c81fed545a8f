"""Blobs of two runs, opened for a comparison in the sizes that the rows say."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

from orchestrator.digest import Digest
from orchestrator.record.store.blob_store import DamagedBlobError, Store

if TYPE_CHECKING:
    from orchestrator.record.run_record import RunRecord
    from orchestrator.verdict.outputs.compare_files import OpenBlob


def open_evidence(store: Store, *runs: RunRecord) -> OpenBlob:
    """DamagedBlobError for a blob of another size: two files of holes would be compared for hours."""
    sizes: dict[Digest, int] = {}
    for run in runs:
        sizes |= {one.digest: one.size for one in run.outputs if one.digest is not None}
        sizes |= {one.digest: one.size for one in run.traces}

    def opened(digest: Digest) -> BinaryIO:
        stream = store.open(digest)
        if digest in sizes and stream.seek(0, io.SEEK_END) != sizes[digest]:
            stream.close()
            raise DamagedBlobError(
                f"blob {digest} in {store.name} has not the {sizes[digest]} bytes of its row"
            )
        stream.seek(0)
        return stream

    return opened
