"""Wheels as layers: unpacked by the rules of `installer`, byte for byte the same everywhere.

What `installer` writes by itself would follow its version and the host, so the shebangs, the scripts and
the RECORD are ours: sorted, fixed. No bytecode: only the base's own interpreter could write it, and the
digest may not hang on the host's. It costs a job 1.0-1.4 s to import scipy and scikit-learn without it.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import os
import posixpath
import stat
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from installer.destinations import WheelDestination
from installer.exceptions import InstallerError
from installer.records import Hash, RecordEntry

from orchestrator.digest import CHUNK, Digest
from orchestrator.errors import StoreError, UsageError
from orchestrator.image import tar
from orchestrator.image.model import ROOT, SCRIPTS, SITE

if TYPE_CHECKING:
    from installer.utils import Scheme

    from orchestrator.image.wheels import WheelFile

# Where a wheel's parts go. Headers and data have no use in a run, but the RECORD promises them.
_FOLDERS = {
    "purelib": SITE,
    "platlib": SITE,
    "scripts": SCRIPTS,
    "headers": f"{ROOT}/include",
    "data": f"{ROOT}/data",
}
# Of the one who installs, so never of the wheel; signatures of a RECORD that is not kept.
_NOT_TAKEN = ("INSTALLER", "REQUESTED", "direct_url.json", "RECORD.jws", "RECORD.p7s")


class Unpacked(NamedTuple):
    """One file of a wheel. `sha256` is hex; `owner` the wheel's file name, for messages."""

    span: tar.Span
    mode: int
    sha256: str
    owner: str


def unpack_wheel(wheel: WheelFile, interpreter: str, spool: BinaryIO) -> dict[str, Unpacked]:
    """The wheel's files by their tar paths, their bytes appended to the spool.

    StoreError: the file is not the one that was locked. UsageError: it is not a wheel, or a hostile one.
    """
    from installer import install
    from installer.sources import WheelFile as Source

    if Digest.of_file(wheel.path) != wheel.digest:
        raise StoreError(
            f"a cached wheel no longer has its bytes: {wheel.path}", "remove the file; it is fetched again"
        )
    destination = _Spool(wheel.filename, interpreter, spool)
    try:
        with zipfile.ZipFile(wheel.path) as archive, warnings.catch_warnings():
            _check_members(wheel.filename, archive)
            warnings.simplefilter("ignore", RuntimeWarning)  # it skips __pycache__, as it should
            install(Source(archive), destination, {})
    except (InstallerError, zipfile.BadZipFile, zlib.error, configparser.Error) as error:
        raise _unusable(wheel.filename, error) from error
    except (AssertionError, KeyError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise _unusable(wheel.filename, error) from error  # how zipfile and installer say: malformed
    return destination.files


def new_spool(folder: os.PathLike[str]) -> BinaryIO:
    """An unnamed file for the unpacked bytes: they can be larger than memory, and vanish with the process."""
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


def entries(files: dict[str, Unpacked]) -> Iterable[tar.Entry]:
    return (tar.Entry(path, file.span, file.mode) for path, file in files.items())


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


class _Spool(WheelDestination):
    """Takes what `installer` reads from a wheel; nothing is written to the file system by name."""

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
        return self._add("scripts", name, io.BytesIO(text.encode()), executable=True)

    def write_file(
        self, scheme: Scheme, path: str | os.PathLike[str], stream: BinaryIO, is_executable: bool
    ) -> RecordEntry:
        name = os.fspath(path)
        if scheme == "scripts":
            return self._add(scheme, name, self._with_shebang(stream), executable=True)
        return self._add(scheme, name, stream, is_executable)

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
        self._add(scheme, f"{information}/INSTALLER", io.BytesIO(b"reprise\n"), executable=False)
        rows = [_row(path, file) for path, file in self.files.items()]
        rows.append((record_file_path, "", ""))
        rows.sort(key=lambda row: row[0].encode())
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._add(scheme, record_file_path, io.BytesIO(text.getvalue().encode()), executable=False)
        self._spool.flush()

    def _with_shebang(self, stream: BinaryIO) -> BinaryIO:
        data = stream.read()
        if data.startswith(b"#!python"):
            data = f"#!{self._interpreter}\n".encode() + data.partition(b"\n")[2]
        return io.BytesIO(data)

    def _add(self, scheme: str, path: str, stream: BinaryIO, executable: bool) -> RecordEntry:
        target = f"{_FOLDERS[scheme]}/{path}".lstrip("/")
        tar.check_path(target)
        if target in self.files:
            raise UsageError(f"not a usable wheel: {self._owner}: {target!r} is there twice")
        hasher, size = hashlib.sha256(), 0
        start = self._spool.tell()
        while chunk := stream.read(CHUNK):
            hasher.update(chunk)
            self._spool.write(chunk)
            size += len(chunk)
        span = tar.Span(self._spool.fileno(), start, size)
        self.files[target] = Unpacked(span, 0o755 if executable else 0o644, hasher.hexdigest(), self._owner)
        return RecordEntry(path, Hash("sha256", hasher.hexdigest()), size)


def _row(path: str, file: Unpacked) -> tuple[str, str, str]:
    """A row of RECORD: its path is relative to the site folder."""
    encoded = base64.urlsafe_b64encode(bytes.fromhex(file.sha256)).rstrip(b"=").decode()
    return posixpath.relpath(f"/{path}", SITE), f"sha256={encoded}", str(file.span.size)
