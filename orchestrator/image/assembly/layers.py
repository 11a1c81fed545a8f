"""Makes the two layers that every job has: its source and the payload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.image.assembly import tar
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import (
    INPUTS,
    JOB_HOME,
    JOB_NAME,
    JOB_USER,
    ROOT,
    RUNTIME,
    SOURCE,
    WORKSPACE,
    Layer,
    LayerKind,
    PythonFacts,
)
from orchestrator.spec.source.source_tree import SourceTree

ACCOUNTS = {
    "/etc/passwd": f"root:x:0:0:root:/root:/bin/sh\n{JOB_NAME}:x:{JOB_USER}:{JOB_USER}::{JOB_HOME}:/bin/sh\n",
    "/etc/group": f"root:x:0:\n{JOB_NAME}:x:{JOB_USER}:\n",
}
"""The accounts of the image, which replace the base's; the job's user has a name and a home."""
PTH = "reprise.pth"  # the payload's start in every interpreter of the job


def in_image(path: str) -> str:
    """An absolute path of the image as a tar's entry name."""
    return path.lstrip("/")


ROOTS = (in_image(ROOT),)  # the only folder below which parents are written


def source_layer(layout: ImageLayout, tree: SourceTree) -> Layer:
    """The job's code under SOURCE. UsageError for names that a box or an engine could misread."""
    entries = [tar.folder(in_image(SOURCE))]
    root = in_image(SOURCE)
    tar.check_portable(file.path for file in tree.files)
    for file in tree.files:
        path = f"{root}/{file.path}"
        if file.symlink:
            tar.check_symlink(file.path, file.data)
            entries.append(tar.symlink(path, file.data))
        else:
            entries.append(tar.Member(path, file.data, 0o755 if file.executable else 0o644))
    title = f"source, {len(tree.files)} files"
    return _stored(layout, LayerKind.SOURCE, title, entries)


def runtime_layer(layout: ImageLayout, python: PythonFacts, files: Mapping[str, bytes]) -> Layer:
    """The payload, in a layer. UsageError: `files` hold no .pth."""
    if PTH not in files:
        raise UsageError(f"the payload is incomplete: {PTH} is missing", "install Reprise again")
    return _stored(layout, LayerKind.RUNTIME, "runtime", runtime_entries(python.purelib, files))


def runtime_entries(purelib: str, files: Mapping[str, bytes]) -> list[tar.Member]:
    """The payload under RUNTIME, the .pth that starts it, accounts, and the mount targets.

    The mount targets must exist because the root is read-only. `REPORT` is left out: without that mount the
    payload stays silent. Bytecode is left out: it depends on the interpreter, and saves only some
    milliseconds for a few small modules.
    """
    entries = [tar.folder(in_image(WORKSPACE), 0o777), tar.folder(in_image(INPUTS))]
    entries.append(tar.folder(in_image(RUNTIME)))
    entries.append(tar.folder("etc"))
    entries += [tar.Member(in_image(path), text.encode()) for path, text in ACCOUNTS.items()]
    for name, data in files.items():
        entries.append(tar.Member(f"{in_image(purelib if name == PTH else RUNTIME)}/{name}", data))
    return entries


def made_layer(layout: ImageLayout, kind: LayerKind, title: str, digest: Digest, size: int) -> Layer:
    """A layer of ours. It is not compressed, so its digest is its diff_id."""
    return Layer(kind=kind, digest=digest, diff_id=digest, size=size, title=title, path=layout.path(digest))


def _stored(layout: ImageLayout, kind: LayerKind, title: str, entries: Iterable[tar.Member]) -> Layer:
    # In memory: a source is small, and its digest tells whether it must be written at all.
    digest, size = layout.put_parts(list(tar.tar_chunks(entries, ROOTS)))
    return made_layer(layout, kind, title, digest, size)
