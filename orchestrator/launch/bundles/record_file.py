"""export --all, import: the whole record of one database as one file for another.

    reprise record 1
    run {…}             each finished run, as a bundle carries it; originals before their reruns
    said {…}            each note, tag, alias and archiving, oldest first
    data {…}            each version of named data, with the list of its files; 1, 2, 3 … of each name
    end COUNT DIGEST    how many lines came before, and the SHA-256 of their bytes

Bytes of outputs, logs, traces and data stay in the store, and images in their registry.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from orchestrator.digest import Digest
from orchestrator.durable import writing
from orchestrator.errors import StoreError, UsageError
from orchestrator.launch.bundles.bundle_form import MAX_RECORD
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Watch
from orchestrator.record.run_record import HistoryFilter, Remark
from orchestrator.record.runs.author import person
from orchestrator.record.runs.unreadable_rows import unreadable
from orchestrator.record.transfer.data_names import CarriedData
from orchestrator.record.transfer.import_runs import Brought, Carried
from orchestrator.run.attempt_model import OPEN_STATES
from orchestrator.spec.plain_file import open_plain
from orchestrator.untrusted_json import first_problem, read_untrusted
from orchestrator.value import Value
from orchestrator.verdict.verdict_model import Verdict

HEADER = b"reprise record 1\n"
MAX_LINES = 10_000_000
MAX_REMARK = 1 << 20  # bytes
_END = re.compile(rb"end (\d{1,12}) (sha256:[0-9a-f]{64})\n\Z")
_AGAIN = "carry the file over again, or export it again; nothing was recorded"


class ExportedRecord(Value):
    path: Path
    size: int  # bytes
    record: Digest  # of the file
    runs: int
    remarks: int
    data: int  # versions of named data
    open: int  # runs that stay behind: they are not over


class ImportedRecord(Value):
    record: Digest
    runs: tuple[Brought, ...]
    remarks: int  # that were not here
    kept: tuple[str, ...]  # aliases that stay what they are in this record
    marks_kept: tuple[str, ...]  # tags and archivings that do: `RUN tag WORD`, `RUN archive`
    data: tuple[str, ...]  # versions of named data that were not here: mnist@2
    data_kept: tuple[str, ...]  # names of data that stay what they are in this record


def export_record(session: Session, path: Path, force: bool, watch: Watch) -> ExportedRecord:
    """Write the file, whole or not at all. UsageError where it is there already or cannot be written."""
    if os.path.lexists(path) and not force:
        raise UsageError(f"{path} is there already", "--force replaces it")
    watch.phase("export", "the whole record")
    transfer = session.record.transfer
    runs, remarks = transfer.finished(), transfer.every_remark()
    carried = set(runs)
    said = [remark for remark in remarks if remark.run in carried]
    open_runs = session.record.history.lines(HistoryFilter(states=OPEN_STATES))
    try:
        with writing(path, 0o600) as out:
            lines = _Lines(out)
            for number, run in enumerate(runs, 1):
                data = transfer.carry(run, attempts=True).to_bytes()
                if len(data) > MAX_RECORD:
                    raise StoreError(f"run {run} makes a line of {len(data)} bytes, more than {MAX_RECORD}")
                lines.write(b"run " + data + b"\n")
                watch.moved(number, len(runs))
            for remark in said:
                lines.write(b"said " + remark.model_dump_json().encode() + b"\n")
            names = 0
            for item in _named_data(session):
                lines.write(b"data " + item.model_dump_json().encode() + b"\n")
                names += 1
            size = lines.end()
    except OSError as error:
        raise UsageError(
            f"{path} could not be written: {error.strerror}", "name a file on a disk with room for it"
        ) from error
    with path.open("rb") as stream:
        digest = Digest.of_stream(stream)
    return ExportedRecord(
        path=path,
        size=size,
        record=digest,
        runs=len(runs),
        remarks=len(said),
        data=names,
        open=len(open_runs),
    )


def _named_data(session: Session) -> Iterator[CarriedData]:
    """Each version, the first of a name first. RecordError for one that was altered."""
    sets, last = session.record.data_sets, ("", 0)
    for item in sorted(sets.versions(), key=lambda item: (item.name, item.version)):
        if item.version != (last[1] + 1 if item.name == last[0] else 1):  # its row cannot be read
            missing = ValueError("a version before it is missing")
            raise unreadable(f"data {item.reference}", missing)
        facts = {"name": item.name, "version": item.version, "by": item.by, "at": item.at}
        try:
            carried = CarriedData.model_validate({**facts, "data": sets.known_input(item.digest)})
        except ValidationError as error:
            raise unreadable(f"data {item.reference}", error) from error
        yield carried
        last = (item.name, item.version)


class _Lines:
    """Lines that are counted and hashed as they are written."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._count, self._hash = out, 0, hashlib.sha256()
        self._put(HEADER)

    def write(self, line: bytes) -> None:
        self._count += 1
        self._put(line)

    def end(self) -> int:
        self._out.write(f"end {self._count} sha256:{self._hash.hexdigest()}\n".encode())
        return self._out.tell()

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._out.write(data)


def is_record_file(path: Path) -> bool:
    try:
        with open_plain(path, named=True) as stream:
            return stream.read(len(HEADER)) == HEADER
    except (UsageError, OSError):
        return False  # the reader of bundles says what is wrong


def import_record(session: Session, path: Path, watch: Watch) -> ImportedRecord:
    """Bring in every run, remark and name of data that is not here yet, in one transaction.

    UsageError: a run that is here with other values. StoreError: a damaged file. Then nothing is recorded.
    """
    watch.phase("import", str(path))
    with open_plain(path, named=True) as stream:
        source = _check(path, stream)

        def runs() -> Iterator[Carried]:
            for kind, data in _lines(path, stream):
                if kind == b"run":
                    yield _run(path, data)

        def data() -> Iterator[CarriedData]:
            for kind, line in _lines(path, stream):
                if kind == b"data":
                    yield _data(path, line)

        def said() -> Iterator[Remark]:
            for kind, line in _lines(path, stream):
                if kind == b"said":
                    yield _remark(path, line)

        done = session.record.transfer.bring_all(runs, said, data, person(), source)
    return ImportedRecord(
        record=source,
        runs=done.runs,
        remarks=done.remarks,
        kept=done.kept,
        marks_kept=done.marks_kept,
        data=done.data.new,
        data_kept=done.data.kept,
    )


def _check(path: Path, stream: BinaryIO) -> Digest:
    """The file's digest. StoreError unless its last line has the digest of all before it."""
    seen, whole, count = hashlib.sha256(), hashlib.sha256(), 0
    stream.seek(0)
    last = stream.readline(len(HEADER) + 1)
    while line := stream.readline(MAX_RECORD + 64):
        if not line.endswith(b"\n") or count > MAX_LINES:
            raise _wrong(path, "a line that is cut off, or too long")
        seen.update(last)
        whole.update(last)
        last, count = line, count + 1
    whole.update(last)
    end = _END.match(last)
    if end is None or (int(end[1]), end[2].decode()) != (count - 1, f"sha256:{seen.hexdigest()}"):
        raise _wrong(path, "its end does not fit what comes before")
    return Digest(f"sha256:{whole.hexdigest()}")


def _lines(path: Path, stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Kind and document of each line."""
    stream.seek(len(HEADER))
    while line := stream.readline(MAX_RECORD + 64):
        kind, _, data = line.rstrip(b"\n").partition(b" ")
        if kind == b"end":
            return
        if kind not in (b"run", b"said", b"data"):
            raise _wrong(path, f"a line of another kind: {kind!r:.40}")
        yield kind, data


def _run(path: Path, data: bytes) -> Carried:
    with _readable(path):
        item = Carried.from_bytes(data)
        for line in item.verdicts:
            Verdict.model_validate(line.document)
        return item


def _remark(path: Path, data: bytes) -> Remark:
    if len(data) > MAX_REMARK:
        raise _wrong(path, "a remark of more than a megabyte")
    with _readable(path):
        return read_untrusted(Remark, data)


def _data(path: Path, data: bytes) -> CarriedData:
    with _readable(path):
        return read_untrusted(CarriedData, data)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """StoreError for a document that cannot be read."""
    try:
        yield
    except ValidationError as error:
        raise _wrong(path, first_problem(error)) from None
    except ValueError as error:
        raise _wrong(path, str(error)) from None


def _wrong(path: Path, what: str) -> StoreError:
    return StoreError(f"{path} is no record file, or damaged: {what}", _AGAIN)
