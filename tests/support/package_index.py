"""A package index on loopback with small packages made for a test, and a pip that knows no other."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.local_server import Handler, LocalServer


class PackageIndex:
    """Serves the wheels of a folder under /simple/NAME/, with their hashes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []  # paths, in order
        self.login: str | None = None  # the value of Authorization that is wanted
        index = self

        class Answer(Handler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                if index.login is not None and self.headers.get("Authorization") != index.login:
                    self.send_error(401)
                    return
                body = index.page(self.path)
                if body is None:
                    self.send_error(404)
                    return
                kind = "text/html" if self.path.endswith("/") else "application/zip"
                self.say(200, body, {"Content-Type": kind})

            do_HEAD = do_GET

        self.server = LocalServer(Answer)

    @property
    def url(self) -> str:
        return f"{self.server.address}/simple"

    def page(self, path: str) -> bytes | None:
        parts = path.strip("/").split("/")
        if parts[0] == "files" and len(parts) == 2 and (self.folder / parts[1]).is_file():
            return (self.folder / parts[1]).read_bytes()
        if parts[0] != "simple" or len(parts) != 2:
            return None
        stem = parts[1].replace("-", "_")
        files = sorted(self.folder.glob(f"{stem}-*"))
        if not files:
            return None
        links = (
            f'<a href="/files/{file.name}#sha256={hashlib.sha256(data).hexdigest()}">{file.name}</a>'
            for file in files
            for data in [file.read_bytes()]
        )
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()

    def add(
        self,
        name: str,
        version: str,
        needs: Sequence[str] = (),
        *,
        extras: Sequence[str] = (),
        python: str = ">=3.9",
        tag: str = "py3-none-any",
    ) -> Path:
        """A wheel of a package that needs others, in the form of Requires-Dist."""
        stem = f"{name.replace('-', '_')}-{version}"
        metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}\n"]
        metadata += [f"Provides-Extra: {extra}\n" for extra in extras]
        metadata += [f"Requires-Dist: {need}\n" for need in needs]
        path = self.folder / f"{stem}-{tag}.whl"
        module = name.replace("-", "_")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{module}.py", f"VERSION = {version!r}\n")
            archive.writestr(f"{stem}.dist-info/METADATA", "".join(metadata))
            archive.writestr(
                f"{stem}.dist-info/WHEEL",
                f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
            )
            archive.writestr(f"{stem}.dist-info/RECORD", "")
        return path

    def add_source(self, name: str, version: str) -> Path:
        """A source distribution, whose build would leave a trace."""
        path = self.folder / f"{name.replace('-', '_')}-{version}.tar.gz"
        path.write_bytes(b"not even an archive: nothing may open it")
        return path


@contextmanager
def package_index(folder: Path) -> Iterator[PackageIndex]:
    folder.mkdir()
    index = PackageIndex(folder)
    with index.server:
        yield index


def only_this_index(monkeypatch: pytest.MonkeyPatch, index: PackageIndex) -> None:
    """pip and uv with no configuration but this index."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "UV_INDEX", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
