"""Where builds with a label come from: pip's own settings, then the flavour's index, both on loopback."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest

from orchestrator.digest import Digest
from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.fetch_wheels import fetch_wheels
from orchestrator.settings import Settings


class Index(NamedTuple):
    """A package index: a folder for each package, listed as a page of links."""

    folder: Path
    url: str
    asked: list[str]  # paths

    def add(self, wheel: Path, data: bytes | None = None) -> None:
        folder = self.folder / wheel.name.split("-")[0]
        folder.mkdir(exist_ok=True)
        (folder / wheel.name).write_bytes(wheel.read_bytes() if data is None else data)


@contextmanager
def served(folder: Path) -> Iterator[Index]:
    folder.mkdir()
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Index(folder, f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Callable[[str], Index]]:
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(served(tmp_path / name))


@pytest.fixture
def general(index: Callable[[str], Index], monkeypatch: pytest.MonkeyPatch) -> Index:
    """What pip is configured with, and nothing else."""
    found = index("general")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", found.url)
    monkeypatch.setenv("PIP_RETRIES", "1")
    return found


@pytest.fixture
def makers(index: Callable[[str], Index]) -> Index:
    return index("makers")


@pytest.fixture
def lock(tmp_path: Path, make_wheel: Any, general: Index) -> Path:
    """Of spam, which the general index has, and of egg 2.0+cpu, which it has not."""
    spam, egg = make_wheel("spam"), make_wheel("egg", version="2.0+cpu")
    general.add(spam)
    lines = [
        f"{name}=={version} --hash=sha256:{Digest.of_file(path).hex}"
        for name, version, path in (("spam", "1.0", spam), ("egg", "2.0+cpu", egg))
    ]
    (tmp_path / "egg").write_text(str(egg))
    path = tmp_path / "requirements.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def egg(lock: Path) -> Path:
    return Path((lock.parent / "egg").read_text())


def test_what_pip_is_configured_with_comes_first(
    settings: Settings, python: PythonFacts, lock: Path, egg: Path, general: Index, makers: Index
) -> None:
    general.add(egg)
    makers.add(egg)
    found = fetch_wheels(settings, lock, python, makers.url)
    assert [(wheel.name, wheel.version) for wheel in found] == [("egg", "2.0+cpu"), ("spam", "1.0")]
    assert makers.asked == []


def test_a_build_that_pip_does_not_find_comes_from_the_flavours_index(
    settings: Settings, python: PythonFacts, lock: Path, egg: Path, makers: Index
) -> None:
    makers.add(egg)
    found = fetch_wheels(settings, lock, python, makers.url)
    assert found[0].digest == Digest.of_file(egg)
    assert makers.asked
    assert not any("spam" in path for path in makers.asked), "only what has a label is asked there"


def test_only_the_locked_bytes_are_taken_from_there(
    settings: Settings, python: PythonFacts, lock: Path, egg: Path, makers: Index
) -> None:
    makers.add(egg, egg.read_bytes() + b"more")
    with pytest.raises(InfrastructureError, match=r"egg==2\.0\+cpu.*other bytes") as caught:
        fetch_wheels(settings, lock, python, makers.url)
    assert makers.url in caught.value.message
    assert not list(settings.wheels.rglob("*.whl"))


def test_a_build_that_is_nowhere_ends_in_one_message_with_the_ways_out(
    settings: Settings, python: PythonFacts, lock: Path, makers: Index
) -> None:
    with pytest.raises(UsageError) as caught:
        fetch_wheels(settings, lock, python, makers.url)
    said = f"{lock}: egg==2.0+cpu: not to be had where pip is configured to look, nor at {makers.url}: "
    assert caught.value.message.startswith(said)
    for way in ("HTTPS_PROXY", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "reprise base pin", "cuda"):
        assert way in (caught.value.hint or "")
    with pytest.raises(UsageError, match="where pip is configured to look: ") as caught:
        fetch_wheels(settings, lock, python)
    assert "PIP_FIND_LINKS" in (caught.value.hint or "")


def test_an_index_that_does_not_answer_is_no_fault_of_the_lock(
    settings: Settings, python: PythonFacts, lock: Path
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(InfrastructureError) as caught:
        fetch_wheels(settings, lock, python, address)
    assert f"nor at {address}: " in caught.value.message
    assert "PIP_FIND_LINKS" in (caught.value.hint or "")


def test_a_lock_that_wants_no_index_is_not_asked_for_at_one(
    settings: Settings, python: PythonFacts, lock: Path, makers: Index
) -> None:
    lock.write_text("--no-index\n" + lock.read_text())
    with pytest.raises(UsageError):
        fetch_wheels(settings, lock, python, makers.url)
    assert makers.asked == []
