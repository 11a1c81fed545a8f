"""Metrics that come from files which the spec calls volatile: they are not judged."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.digest import Digest
from orchestrator.errors import RepriseError
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.run.metrics.event_files import EventFileError, is_event_file, read_scalars
from orchestrator.run.metrics.event_metrics import names_of_tags
from orchestrator.run.metrics.metric_sources import metric_files
from orchestrator.run.metrics.read_metrics import names_read
from orchestrator.spec.globs import matcher
from orchestrator.verdict.outputs.compare_files import OpenBlob, Pair


def only_in_volatile_files(
    original: RunRecord, rerun: RunRecord, pairs: list[Pair], open_blob: OpenBlob
) -> frozenset[str]:
    """Metrics that come from files which the spec calls volatile, and from no other output."""
    is_volatile = matcher(original.tolerance.volatile)
    left_out = [pair for pair in pairs if any(out is not None and is_volatile(out.path) for out in pair[1:])]
    volatile, others = set[str](), set[str]()
    for run, place in ((original, 1), (rerun, 2)):
        there = {output.path for pair in left_out if isinstance(output := pair[place], Output)}
        if there:
            for path, names in _metrics_of_files(run, open_blob):
                (volatile if path in there else others).update(names)
    return frozenset(volatile - others)


def _metrics_of_files(run: RunRecord, open_blob: OpenBlob) -> Iterator[tuple[str, set[str]]]:
    """Each kept output that holds metrics, and their names as the run may have recorded them."""
    kept = {
        output.path: output.digest
        for output in run.outputs
        if output.status is OutputStatus.KEPT and output.digest is not None
    }
    for file in metric_files(run.program.metrics, list(kept)):
        if file.path in kept and _whole(kept[file.path], open_blob):
            with open_blob(kept[file.path]) as stream:
                yield file.path, names_read(file, stream)
    tags = {path: _tags(digest, open_blob) for path, digest in kept.items() if is_event_file(path)}
    yield from names_of_tags(tags).items()


def _tags(digest: Digest, open_blob: OpenBlob) -> set[str]:
    found: set[str] = set()
    if _whole(digest, open_blob):
        with open_blob(digest) as stream:
            try:
                for scalar in read_scalars(stream):
                    found.add(scalar.name)
            except EventFileError:
                return found  # as far as it can be read, as when the run's metrics were read
    return found


def _whole(digest: Digest, open_blob: OpenBlob) -> bool:
    """Whether the stored bytes are those of the digest: damaged ones say nothing of the run."""
    try:
        with open_blob(digest) as stream:
            return Digest.of_stream(stream) == digest
    except (RepriseError, OSError):
        return False
