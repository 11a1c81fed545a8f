"""The files of a crate: which they are, by which safe names, and how they are written, each byte checked."""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple
from urllib.parse import quote

from orchestrator.digest import Digest, checked_chunks
from orchestrator.disk_room import UNREADABLE
from orchestrator.durable import fsync_folder, make_folder, sync_filesystem, writing
from orchestrator.errors import StoreError, UsageError
from orchestrator.image.assembly.read_source_layer import source_files
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import LayerKind
from orchestrator.launch.judge.run_source import source_of
from orchestrator.launch.session import Session
from orchestrator.launch.submit.find_inputs import find_inputs
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import OutputStatus
from orchestrator.scratch import scratch_folder
from orchestrator.spec.inputs import folder_digest, listing, open_input

METADATA = "ro-crate-metadata.json"
PROGRAM = "program.json"
LOG = "log.txt"
PATCH = "source.patch"
ARCHIVES = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z")  # names of files that no crate is

NAME_BYTES = 200  # of one name: file systems take 255, some 143, and a temporary one is longer
PATH_BYTES = 1000  # of a path in the crate: systems take 4096, with all that is above it

# Characters that mean something to some system in a file's name, such as Windows' separators.
_ODD = re.compile(r'[%\\:*?"<>|\x00-\x1f\x7f]')


class Role(StrEnum):
    PROGRAM = "program"
    OUTPUT = "output"
    LOG = "log"
    TRACE = "trace"
    PATCH = "patch"
    SOURCE = "source"
    INPUT = "input"


class CrateFile(NamedTuple):
    """One file of a crate."""

    path: str  # in the crate, safe on any system
    role: Role
    name: str  # as the run called it; of an input, `NAME` or `NAME/PATH`
    digest: Digest
    size: int  # bytes
    open: Callable[[], IO[bytes]]


def safe_path(path: str) -> str:
    """A recorded path with odd characters as %XX: two never become one. StoreError for `..` and such.

    What is too long for a file system is cut, with a part of its hash behind `%~`, which no other name has.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise StoreError(
            f"the record holds an unsafe path: {path!r}", "`reprise audit` says what was altered"
        )
    safe = [_short(_ODD.sub(lambda found: f"%{ord(found[0]):02X}", part)) for part in parts]
    if sum(len(part.encode()) + 1 for part in safe) > PATH_BYTES:
        safe = [f"%~{_hash(path)}", safe[-1]]
    return "/".join(safe)


def _short(name: str) -> str:
    data = name.encode()
    if len(data) <= NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    end = f"{dot}{suffix}" if stem and len(suffix.encode()) <= 20 else ""
    mark = f"%~{_hash(name)}{end}"
    return data[: NAME_BYTES - len(mark.encode())].decode(errors="ignore") + mark


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def uri(path: str) -> str:
    """A path in the crate as JSON-LD names it: a relative URI."""
    return quote(path, safe="/")


def run_parts(session: Session, run: RunRecord, watch: Watch) -> tuple[list[CrateFile], list[str]]:
    """All that the record and the store have of a run, and what is left out, in words."""
    label = run.program.to_label().encode()
    parts = [CrateFile(PROGRAM, Role.PROGRAM, PROGRAM, Digest.of(label), len(label), _bytes(label))]
    left_out: list[str] = []
    stored = _stored(session)
    for one in run.outputs:
        if one.status is not OutputStatus.KEPT or one.digest is None:
            left_out.append(f"output {one.path} ({one.reason}{f' to {one.target}' if one.target else ''})")
            continue
        path = f"outputs/{safe_path(one.path)}"
        parts.append(CrateFile(path, Role.OUTPUT, one.path, one.digest, one.size, stored(one.digest)))
    if run.log is not None:
        parts.append(CrateFile(LOG, Role.LOG, LOG, run.log.digest, run.log.size, stored(run.log.digest)))
    for number, trace in enumerate(run.traces):
        name = f"trace/{number}.jsonl"
        parts.append(CrateFile(name, Role.TRACE, name, trace.digest, trace.size, stored(trace.digest)))
    if run.git is not None and run.git.patch_digest is not None:
        patch = session.store.read(run.git.patch_digest)
        parts.append(CrateFile(PATCH, Role.PATCH, PATCH, run.git.patch_digest, len(patch), _bytes(patch)))
    source, missing = _source(session, run, watch)
    return parts + source, left_out + missing


def _source(session: Session, run: RunRecord, watch: Watch) -> tuple[list[CrateFile], list[str]]:
    parts: list[CrateFile] = []
    missing: list[str] = []
    texts = source_of(session, run, watch)
    layers = session.record.image(run.image)[0].layers
    layer = next((one for one in layers if one.kind is LayerKind.SOURCE), None)
    for path, text in texts.items():
        if text.symlink or text.size is None or layer is None:
            missing.append(f"source {path} ({'a link' if text.symlink else 'not on this box'})")
            continue
        file = ImageLayout(session.settings.layout).path(layer.digest)
        opened = _in_layer(file, path) if text.data is None else _bytes(text.data)
        parts.append(
            CrateFile(f"source/{safe_path(path)}", Role.SOURCE, path, text.digest, text.size, opened)
        )
    return parts, missing


@contextmanager
def input_parts(session: Session, run: RunRecord, given: Mapping[str, Path]) -> Iterator[list[CrateFile]]:
    """The input data, for as long as it is entered. UsageError: it is not there, or has other bytes."""
    wanted = run.program.inputs
    paths = run.input_paths | {name: str(path) for name, path in given.items()}
    parts: list[CrateFile] = []
    with find_inputs(session, wanted, paths) as found:
        for name, path in found.items():
            try:
                parts += _input(name, wanted[name], path)
            except (OSError, UnicodeEncodeError) as error:
                raise UsageError(f"input {name}: {path}: {error}", f"--input {name}=PATH") from error
        yield parts


def _input(name: str, digest: Digest, path: Path) -> Iterator[CrateFile]:
    if not path.is_dir():
        found = Digest.of_file(path)
        yield CrateFile(
            f"inputs/{name}", Role.INPUT, name, digest, path.stat().st_size, lambda: path.open("rb")
        )
    else:
        entries = listing(path)
        found = folder_digest(entries)
        for file, text, size in entries:
            inside = f"{name}/{file}"
            whole = Digest(f"sha256:{text}")
            opened = partial(open_input, path, file)
            yield CrateFile(f"inputs/{name}/{safe_path(file)}", Role.INPUT, inside, whole, size, opened)
    if found != digest:
        raise UsageError(f"input {name}: {path} is {found}, not {digest}", f"--input {name}=PATH")


def _bytes(data: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(data)


def _stored(session: Session) -> Callable[[Digest], Callable[[], BinaryIO]]:
    return lambda digest: lambda: session.store.open(digest)


def _in_layer(layer: Path, path: str) -> Callable[[], BinaryIO]:
    """A source file that is too long for memory: read from the layer when it is written."""

    def opened() -> BinaryIO:
        for entry in source_files(layer):
            if entry.path == path:
                return io.BytesIO(entry.stream.read())
        raise StoreError(f"{path} is not in the source layer {layer}")

    return opened


def write_files(target: Path, parts: Sequence[CrateFile], force: bool, watch: Watch) -> int:
    """Write a folder, or a zip file where the name ends so, whole or not at all: bytes written.

    The same parts give the same zip file. UsageError: something is there, or cannot be written there.
    StoreError: bytes are missing, or not those of their digest.
    """
    refuse_existing_crate(target, force)
    total, done = sum(part.size for part in parts), 0
    try:
        with _zip(target) if _is_zip(target) else _folder(target) as put:
            for part in parts:
                for size in put(part.path, part.size, _checked(part)):
                    done += size
                    watch.moved(done, total)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}", "name another") from error
    return done


def _is_zip(target: Path) -> bool:
    return target.suffix.lower() == ".zip"


def refuse_existing_crate(target: Path, force: bool) -> None:
    """UsageError where no crate may be written: known before the run's bytes are looked through."""
    zipped = _is_zip(target)
    if target.suffix.lower() in ARCHIVES:
        raise UsageError(f"{target}: a crate is a folder or FILE.zip", "name one of these")
    if zipped and force and target.is_file() and not target.is_symlink():
        return
    if os.path.lexists(target) and (zipped or not _empty(target)):
        hint = "--force replaces it" if zipped and target.is_file() else "name a new folder, or FILE.zip"
        raise UsageError(f"{target} is there already", hint)


def _empty(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())


def _checked(part: CrateFile) -> Iterator[bytes]:
    try:
        with part.open() as stream:
            yield from checked_chunks(stream, part.digest, part.size)
    except OSError as error:
        said = f"{part.role.value} {part.name} cannot be read: {error.strerror}"
        raise StoreError(said, UNREADABLE) from error
    except ValueError:
        raise StoreError(
            f"{part.role.value} {part.name} has other bytes than those of {part.digest}: altered or damaged",
            "`reprise audit` looks at all of the store",
        ) from None


Put = Callable[[str, int, Iterable[bytes]], Iterator[int]]


@contextmanager
def _folder(target: Path) -> Iterator[Put]:
    """Written under another name, so that nobody finds half a crate, or puts a link into it."""
    target = target.absolute()
    make_folder(target.parent)
    with scratch_folder(".reprise-crate-", target.parent) as above:
        made = above / "whole"
        made.mkdir()

        def put(path: str, size: int, chunks: Iterable[bytes]) -> Iterator[int]:  # noqa: ARG001  (a zip needs it)
            file = made / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as stream:
                for chunk in chunks:
                    yield stream.write(chunk)

        yield put
        made.chmod(0o755)
        sync_filesystem(made)
        made.rename(target)
    fsync_folder(target.parent)


@contextmanager
def _zip(target: Path) -> Iterator[Put]:
    """Stored, not compressed: weights do not shrink, and the same bytes come out of any zlib."""
    with writing(target.absolute()) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:

        def put(path: str, size: int, chunks: Iterable[bytes]) -> Iterator[int]:
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, wherever it is written
            entry.external_attr = 0o100644 << 16
            entry.file_size = size
            with archive.open(entry, "w", force_zip64=size >= 1 << 31) as stream:
                for chunk in chunks:
                    yield stream.write(chunk)

        yield put
