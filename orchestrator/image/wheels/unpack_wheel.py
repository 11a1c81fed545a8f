"""Unpacks wheels for layers, by the rules of `installer`, byte for byte the same everywhere.

What `installer` itself writes depends on its version and the host, so shebangs, scripts and RECORD are made
here, sorted and fixed. There is no bytecode: only the base's own interpreter could write it, and the digest
may not depend on the host's. Without it, importing scipy and scikit-learn takes a job 1.0-1.4 s longer.
"""

from __future__ import annotations

import base64
import configparser
import csv
import io
import lzma
import os
import posixpath
import stat
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from installer.destinations import WheelDestination
from installer.exceptions import InstallerError
from installer.records import Hash, RecordEntry

from orchestrator.digest import CHUNK, Digest, Hashed, chunks_of
from orchestrator.errors import StoreError, UsageError
from orchestrator.image.assembly import tar
from orchestrator.image.image_model import ROOT, SCRIPTS, SITE

if TYPE_CHECKING:
    from installer.utils import Scheme

    from orchestrator.image.wheels.fetch_wheels import WheelFile

# Where a wheel's parts go. A run needs no headers or data, but RECORD lists them.
_FOLDERS = {
    "purelib": SITE,
    "platlib": SITE,
    "scripts": SCRIPTS,
    "headers": f"{ROOT}/include",
    "data": f"{ROOT}/data",
}
_PYTHON = b"#!python"
# Files of .dist-info that an installer writes, and signatures of the wheel's RECORD, which is made anew.
_NOT_TAKEN = ("INSTALLER", "REQUESTED", "direct_url.json", "RECORD.jws", "RECORD.p7s")

MAX_UNPACKED = 16 << 30  # bytes of one wheel's files; torch for CUDA has some 3 GiB
MAX_MEMBERS = 100_000  # files and folders of one wheel; torch has 12,248
MAX_RATIO = 100  # of the files to the wheel; 60 popular wheels have at most 5
_SMALL = 64 << 20  # bytes of files that are taken at any ratio
_MAX_INFORMATION = 32 << 20  # bytes of a file in .dist-info: those are read at once
_MAX_DIRECTORY = 64 << 20  # bytes of the zip's list of members: read at once, too
_SPARE = 1 << 30  # bytes of the disk that are left free

# What installer and zipfile raise for a malformed wheel.
_MALFORMED = (
    *(InstallerError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, csv.Error, configparser.Error),
    *(AssertionError, KeyError, ValueError, NotImplementedError, RuntimeError, EOFError),
)


class Unpacked(NamedTuple):
    """One file of a wheel. `sha256` is hex; `owner` the wheel's file name, for messages."""

    span: tar.Span
    mode: int
    sha256: str
    owner: str


def unpack_wheel(wheel: WheelFile, interpreter: str, spool: BinaryIO) -> dict[str, Unpacked]:
    """The wheel's files by their tar paths, their bytes appended to the spool.

    StoreError: the file is not the locked one. UsageError: it is not a usable wheel.
    """
    from installer import install
    from installer.sources import WheelFile as Source

    if Digest.of_file(wheel.path) != wheel.digest:
        raise StoreError(
            f"a cached wheel no longer has its bytes: {wheel.path}", "remove the file; it is fetched again"
        )
    destination = _Spool(wheel.filename, interpreter, spool)
    try:
        with (
            _Bounded(wheel.path) as file,
            zipfile.ZipFile(file) as archive,
            warnings.catch_warnings(),
        ):
            _check_members(wheel.filename, archive)
            _check_sizes(wheel, archive, spool)
            warnings.simplefilter("ignore", RuntimeWarning)  # installer warns that it skips __pycache__
            install(Source(archive), destination, {})
    except OSError as error:
        if error.errno is not None:
            raise
        raise _unusable(wheel.filename, error) from error  # bz2, for malformed data
    except _MALFORMED as error:
        raise _unusable(wheel.filename, error) from error
    return destination.files


def new_spool(folder: os.PathLike[str]) -> BinaryIO:
    """An unnamed file for the unpacked bytes, which may be larger than memory; it goes with the process."""
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    return TemporaryFile(dir=folder)


def merge(into: dict[str, Unpacked], files: dict[str, Unpacked]) -> None:
    """Add a wheel's files. Two wheels may have one path only with the same bytes and mode."""
    for path, file in files.items():
        other = into.setdefault(path, file)
        if (other.sha256, other.mode) != (file.sha256, file.mode):
            raise UsageError(
                f"two wheels have different files at one path: {other.owner} and {file.owner}: {path}",
                "they cannot be installed together; remove one of them from the requirements",
            )


def entries(files: dict[str, Unpacked]) -> Iterable[tar.Member]:
    return (tar.Member(path, file.span, file.mode) for path, file in files.items())


def _unusable(filename: str, error: Exception) -> UsageError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return UsageError(f"not a usable wheel: {filename}: {reason}", "lock another version of it")


def _check_members(filename: str, archive: zipfile.ZipFile) -> None:
    seen: set[str] = set()
    for item in archive.infolist():
        kind = stat.S_IFMT(item.external_attr >> 16)
        path = item.filename.rstrip("/")
        tar.check_path(path)
        if "\\" in path or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UsageError(f"not a usable wheel: {filename}: {path!r} is not a plain file")
        if item.filename in seen:
            raise UsageError(f"not a usable wheel: {filename}: {path!r} is there twice")
        seen.add(item.filename)


def _check_sizes(wheel: WheelFile, archive: zipfile.ZipFile, spool: BinaryIO) -> None:
    """Refuse a wheel that would fill memory or disk, by the sizes in its list: `zipfile` reads no more."""
    items = archive.infolist()
    total = sum(item.file_size for item in items)
    large = next(
        (item for item in items if ".dist-info/" in item.filename and item.file_size > _MAX_INFORMATION), None
    )
    reason = None
    if len(items) > MAX_MEMBERS:
        reason = f"{len(items):,} members, more than {MAX_MEMBERS:,}"
    elif large is not None:
        reason = f"{large.filename!r} has {large.file_size:,} bytes, more than {_MAX_INFORMATION:,}"
    elif total > MAX_UNPACKED:
        reason = f"{total:,} bytes unpacked, more than {MAX_UNPACKED:,}"
    elif total > max(_SMALL, MAX_RATIO * wheel.size):
        reason = f"{total:,} bytes unpacked out of {wheel.size:,}: more than {MAX_RATIO} times as many"
    if reason is not None:
        raise UsageError(f"not a usable wheel: {wheel.filename}: {reason}", "it would fill the disk")
    found = os.fstatvfs(spool.fileno())
    if total > max(0, found.f_bavail * found.f_frsize - _SPARE):
        raise StoreError(
            f"no room to unpack {wheel.filename}: it needs {total:,} bytes",
            "free space where REPRISE_HOME is",
        )


class _Bounded(io.FileIO):
    """A wheel's file that refuses to read more at once than an honest list of members needs."""

    def __init__(self, path: os.PathLike[str]) -> None:
        super().__init__(path)
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = self._size - self.tell()
        if min(left if size is None or size < 0 else size, left) > _MAX_DIRECTORY:
            raise zipfile.BadZipFile(f"its list of members has more than {_MAX_DIRECTORY:,} bytes")
        return super().read(size) or b""


class _Spool(WheelDestination):
    """Takes what `installer` reads from a wheel; writes no named file."""

    def __init__(self, owner: str, interpreter: str, spool: BinaryIO) -> None:
        self.files: dict[str, Unpacked] = {}
        self._owner = owner
        self._interpreter = interpreter
        self._spool = spool

    def write_script(self, name: str, module: str, attr: str, section: str) -> RecordEntry:  # noqa: ARG002
        text = (
            f"#!{self._interpreter}\nimport sys\nfrom {module} import {attr.split('.')[0]}\n"
            f'if __name__ == "__main__":\n    sys.exit({attr}())\n'
        )
        return self._add("scripts", name, [text.encode()], executable=True)

    def write_file(
        self, scheme: Scheme, path: str | os.PathLike[str], stream: BinaryIO, is_executable: bool
    ) -> RecordEntry:
        name = os.fspath(path)
        if scheme == "scripts":
            return self._add(scheme, name, self._with_shebang(stream), executable=True)
        return self._add(scheme, name, chunks_of(stream), is_executable)

    def finalize_installation(
        self,
        scheme: Scheme,
        record_file_path: str,
        records: Iterable[tuple[Scheme, RecordEntry]],  # noqa: ARG002
    ) -> None:
        """RECORD and INSTALLER. RECORD's rows are what was written, sorted by the bytes of their paths."""
        information = record_file_path.rpartition("/")[0]
        for name in _NOT_TAKEN:
            self.files.pop(f"{_FOLDERS[scheme]}/{information}/{name}".lstrip("/"), None)
        self._add(scheme, f"{information}/INSTALLER", [b"reprise\n"], executable=False)
        rows = [_row(path, file) for path, file in self.files.items()]
        rows.append((record_file_path, "", ""))
        rows.sort(key=lambda row: row[0].encode())
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._add(scheme, record_file_path, [text.getvalue().encode()], executable=False)
        self._spool.flush()

    def _with_shebang(self, stream: BinaryIO) -> Iterator[bytes]:
        head = stream.read(len(_PYTHON))
        if head == _PYTHON:
            while head and not head.endswith(b"\n"):  # skip the rest of the first line
                head = stream.readline(CHUNK)
            head = f"#!{self._interpreter}\n".encode()
        yield head
        yield from chunks_of(stream)

    def _add(self, scheme: str, path: str, chunks: Iterable[bytes], executable: bool) -> RecordEntry:
        target = f"{_FOLDERS[scheme]}/{path}".lstrip("/")
        tar.check_path(target)
        if target in self.files:
            raise UsageError(f"not a usable wheel: {self._owner}: {target!r} is there twice")
        if len(self.files) >= MAX_MEMBERS:
            raise UsageError(
                f"not a usable wheel: {self._owner}: more than {MAX_MEMBERS:,} files and scripts"
            )
        start, passing = self._spool.tell(), Hashed(chunks)
        self._spool.writelines(passing)
        span = tar.Span(self._spool.fileno(), start, passing.size)
        sha256 = passing.digest.hex
        self.files[target] = Unpacked(span, 0o755 if executable else 0o644, sha256, self._owner)
        return RecordEntry(path, Hash("sha256", sha256), passing.size)


def _row(path: str, file: Unpacked) -> tuple[str, str, str]:
    """A row of RECORD: its path is relative to the site folder."""
    encoded = base64.urlsafe_b64encode(bytes.fromhex(file.sha256)).rstrip(b"=").decode()
    return posixpath.relpath(f"/{path}", SITE), f"sha256={encoded}", str(file.span.size)
