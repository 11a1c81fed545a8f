"""Outputs: what a dead job wrote into its workspace, as far as the spec asks for it.

A job begins with its source in the workspace. What it never wrote is not its output; what it wrote is, with
the same bytes, too (starting_source.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from orchestrator.digest import Digest
from orchestrator.message_wording import listed
from orchestrator.run.attempt_model import LINK, Output, OutputStatus, Result, State
from orchestrator.run.collect.starting_source import NOTHING, SourceFate, StartingSource
from orchestrator.run.collect.walk_tree import FoundEntry, TooManyOutputsError, name_problem, shown_name, walk
from orchestrator.spec.globs import EVERYTHING, matcher, unmatched
from orchestrator.spec.jobfile.job_spec import Tolerances
from orchestrator.value import Value

NAMED = 5  # paths of a list that a note names
GLOBS = 100  # globs that a note names


class BlobSink(Protocol):
    """Stores blobs. They are durable once the batch that they belong to is durable."""

    def add(self, stream: BinaryIO, size: int) -> Digest:
        """Read at most `size` bytes to the stream's end and store them."""


class Collected(Value):
    outputs: tuple[Output, ...] = ()
    written: tuple[str, ...] = ()  # every plain file that the job wrote, also those that fit no glob
    untouched: frozenset[str] = frozenset()  # what came with the source, as it came
    notes: tuple[str, ...] = ()


@dataclass
class _Workspace:
    """A workspace before anything of it is stored."""

    untouched: set[str] = field(default_factory=set)
    again: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    written: dict[str, int] = field(default_factory=dict)  # plain files -> bytes
    others: list[str] = field(default_factory=list)  # paths that are not plain files
    total: int = 0  # bytes of what fits the globs


def collect_outputs(
    workspace: Path,
    globs: Sequence[str],
    limit: int,
    sink: BlobSink,
    began: StartingSource = NOTHING,
    *,
    keep_all: bool = False,
) -> Collected:
    """Store every file that the job wrote and that fits the globs; list everything else that fits.

    `keep_all`: where no file fits the globs, all that the job wrote is kept, and a note says so.

    `limit` is the sum of logical sizes in bytes: a sparse file counts as what it claims to be.
    TooManyOutputsError past the limits on bytes or files.
    """
    wanted = matcher(globs)
    seen = _look(workspace, wanted, limit, began)
    notes = _of_the_source(seen, began)
    useless = unmatched((glob for glob in globs if glob != EVERYTHING), (*seen.written, *seen.others))
    if useless:
        notes.append(
            f"outputs: nothing that the job wrote fits {listed([repr(glob) for glob in useless], GLOBS)}"
        )
    if keep_all and globs and seen.written and not any(map(wanted, seen.written)):
        wanted, said = _everything(seen, limit)
        notes.append(said)
    outputs: list[Output] = []
    for entry in walk(workspace):
        if entry.path not in seen.untouched and (entry.whole_folder or wanted(entry.path)):
            outputs.append(_output(entry, sink))
        entry.close()
    outputs.sort(key=lambda output: output.path.encode("utf-8", "surrogateescape"))
    return Collected(
        outputs=tuple(outputs),
        written=tuple(seen.written),
        untouched=frozenset(seen.untouched),
        notes=tuple(notes),
    )


def useless_globs(tolerance: Tolerances, result: Result) -> list[str]:
    """A note on the tolerance's globs that fit no output of a run that succeeded."""
    if result.state is not State.SUCCEEDED:
        return []
    globs = dict.fromkeys((*tolerance.outputs, *tolerance.volatile))
    useless = unmatched(globs, [output.path for output in result.outputs])
    said = listed([repr(glob) for glob in useless], GLOBS)
    return [f"tolerance: no output fits {said}"] if useless else []


def _look(workspace: Path, wanted: Callable[[str], bool], limit: int, began: StartingSource) -> _Workspace:
    """Count the workspace before anything is stored: a sparse file is small on disk, large in the store."""
    seen = _Workspace()
    comparable = began.comparable(workspace)
    for entry in walk(workspace):
        fate = began.fate(entry, comparable)
        entry.close()
        if fate is SourceFate.UNTOUCHED:
            seen.untouched.add(entry.path)
            continue
        if fate is not SourceFate.NEW:
            (seen.again if fate is SourceFate.AGAIN else seen.changed).append(entry.path)
        if entry.reason is None:
            seen.written[entry.path] = entry.size
        elif not entry.whole_folder:
            seen.others.append(entry.path)
        seen.total += entry.size if wanted(entry.path) else 0
        if seen.total > limit:
            raise TooManyOutputsError(f"the job left more than {limit} bytes (resources.output_size)")
    return seen


def _of_the_source(seen: _Workspace, began: StartingSource) -> list[str]:
    brought = {*seen.untouched, *seen.again, *seen.changed}
    gone = sorted(path for path in began.hashes if shown_name(path) not in brought)
    return [
        f"source: the job {did} {listed(sorted(paths), NAMED)}"
        for did, paths in (
            ("changed", seen.changed),
            ("wrote again, with the same bytes,", seen.again),
            ("removed", gone),
        )
        if paths
    ]


def _everything(seen: _Workspace, limit: int) -> tuple[Callable[[str], bool], str]:
    total, count = sum(seen.written.values()), len(seen.written)
    files = "the one file that it wrote" if count == 1 else f"all {count:,} files that it wrote"
    if total > limit:
        said = (
            f"outputs: no file fits the globs, and {files} are {total} bytes, more than {limit}: none is kept"
        )
        return lambda _: False, said
    return lambda _: True, f"outputs: no file fits the globs, so {files} {'is' if count == 1 else 'are'} kept"


def _output(entry: FoundEntry, sink: BlobSink) -> Output:
    if entry.fd is None:
        reason, target = _link(entry) if entry.reason == LINK else (entry.reason, None)
        return Output(path=entry.path, status=OutputStatus.REJECTED, reason=reason, target=target)
    with os.fdopen(entry.fd, "rb", buffering=0, closefd=False) as stream:
        digest = sink.add(stream, entry.size)
    return Output(path=entry.path, status=OutputStatus.KEPT, digest=digest, size=entry.size)


def _link(entry: FoundEntry) -> tuple[str, str]:
    """Why a link is not kept as a file, and its text, or the text's hash where it cannot be kept in full."""
    text = os.fsdecode(entry.text or b"")
    problem = name_problem(text)
    if problem is None:
        return LINK, text
    return f"{LINK}, and in its text: {problem} (sha256 {entry.sha256()[:16]})", shown_name(text)
