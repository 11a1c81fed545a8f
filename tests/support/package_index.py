"""A package index on loopback with small packages made for a test, and a pip that knows no other."""

from __future__ import annotations

import hashlib
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class _Quiet(ThreadingHTTPServer):
    """Says nothing of a client that leaves in the middle of an answer, as uv does when it has seen enough."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class PackageIndex:
    """Serves the wheels of a folder under /simple/NAME/, with their hashes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []  # paths, in order
        self.login: str | None = None  # the value of Authorization that is wanted
        index = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                if index.login is not None and self.headers.get("Authorization") != index.login:
                    self.send_error(401)
                    return
                body = index.page(self.path)
                if body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header(
                    "Content-Type", "text/html" if self.path.endswith("/") else "application/zip"
                )
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.http = _Quiet(("127.0.0.1", 0), Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/simple"

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
    thread = threading.Thread(target=index.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        index.http.shutdown()
        index.http.server_close()
        thread.join()


def only_this_index(monkeypatch: pytest.MonkeyPatch, index: PackageIndex) -> None:
    """pip and uv with no configuration but this index."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "UV_INDEX", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
