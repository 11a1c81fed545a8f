"""Where builds with a label come from: pip's own settings, then the flavour's index, both on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.local_server import LocalServer
from support.services import free_port

from orchestrator.digest import Digest
from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.image.wheels.fetch_wheels import WheelFile
from orchestrator.settings import Settings

Fetch = Callable[..., tuple[WheelFile, ...]]


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

    class Listing(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with LocalServer(Listing) as server:
        yield Index(folder, server.address, asked)


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
def egg(make_wheel: Any) -> Path:
    return Path(make_wheel("egg", version="2.0+cpu"))


@pytest.fixture
def lock(tmp_path: Path, make_wheel: Any, egg: Path, general: Index) -> Path:
    """Of spam, which the general index has, and of egg 2.0+cpu, which it has not."""
    spam = make_wheel("spam")
    general.add(spam)
    lines = [
        f"{name}=={version} --hash=sha256:{Digest.of_file(path).hex}"
        for name, version, path in (("spam", "1.0", spam), ("egg", "2.0+cpu", egg))
    ]
    path = tmp_path / "requirements.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_what_pip_is_configured_with_comes_first(
    fetch: Fetch, lock: Path, egg: Path, general: Index, makers: Index
) -> None:
    general.add(egg)
    makers.add(egg)
    found = fetch(lock, makers.url)
    assert [(wheel.name, wheel.version) for wheel in found] == [("egg", "2.0+cpu"), ("spam", "1.0")]
    assert makers.asked == []


def test_a_build_that_pip_does_not_find_comes_from_the_flavours_index(
    fetch: Fetch, lock: Path, egg: Path, makers: Index
) -> None:
    makers.add(egg)
    found = fetch(lock, makers.url)
    assert found[0].digest == Digest.of_file(egg)
    assert makers.asked
    assert not any("spam" in path for path in makers.asked), "only what has a label is asked there"


def test_only_the_locked_bytes_are_taken_from_there(
    fetch: Fetch, settings: Settings, lock: Path, egg: Path, makers: Index
) -> None:
    makers.add(egg, egg.read_bytes() + b"more")
    with pytest.raises(InfrastructureError, match=r"egg==2\.0\+cpu.*other bytes") as caught:
        fetch(lock, makers.url)
    assert makers.url in caught.value.message
    assert not list(settings.wheels.rglob("*.whl"))


def test_a_build_that_is_nowhere_ends_in_one_message_with_the_ways_out(
    fetch: Fetch, lock: Path, makers: Index
) -> None:
    with pytest.raises(UsageError) as caught:
        fetch(lock, makers.url)
    said = f"{lock}: egg==2.0+cpu: not to be had where pip is configured to look, nor at {makers.url}: "
    assert caught.value.message.startswith(said)
    for way in ("HTTPS_PROXY", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "reprise base pin", "cuda"):
        assert way in (caught.value.hint or "")
    with pytest.raises(UsageError, match="where pip is configured to look: ") as caught:
        fetch(lock)
    assert "PIP_FIND_LINKS" in (caught.value.hint or "")


def test_an_index_that_does_not_answer_is_no_fault_of_the_lock(fetch: Fetch, lock: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(InfrastructureError) as caught:
        fetch(lock, address)
    assert f"nor at {address}: " in caught.value.message
    assert "PIP_FIND_LINKS" in (caught.value.hint or "")


def test_a_lock_that_wants_no_index_is_not_asked_for_at_one(fetch: Fetch, lock: Path, makers: Index) -> None:
    lock.write_text("--no-index\n" + lock.read_text())
    with pytest.raises(UsageError):
        fetch(lock, makers.url)
    assert makers.asked == []
