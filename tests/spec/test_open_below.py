"""Nothing is read through a link, whenever it was put there."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.spec.inputs import digest_of
from orchestrator.spec.jobfile.job_spec import SourceSpec
from orchestrator.spec.open_below import Below
from orchestrator.spec.source.read_source import read_source

SECRET = b"what lies outside"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """top.py, lib/a.py, lib/deep/b.py and z.py; beside it `outside`, which has files of these names."""
    for root, data in (("job", b"plain"), ("outside", SECRET)):
        for name in ("a.py", "lib/a.py", "lib/deep/b.py", "z.py"):
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return tmp_path / "job"


def swap(folder: Path, name: str) -> None:
    """A link to what lies outside, in the place of a file or a folder."""
    path = folder / name
    path.rename(folder.parent / "was")
    path.symlink_to(folder.parent / "outside" / name)


def test_names_in_any_order_are_read_and_nothing_stays_open(folder: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with Below(folder) as below:
        for name in ("lib/deep/b.py", "a.py", "lib/a.py", "lib/deep/b.py", "z.py"):
            with below.open(name) as stream:
                assert stream.read() == b"plain"
        with pytest.raises(FileNotFoundError):
            below.open("lib/absent/b.py")
        with below.open("lib/a.py") as stream:
            assert stream.read() == b"plain"
    assert os.listdir("/proc/self/fd") == before


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with Below(tmp_path / "link") as below, below.open("lib/a.py") as stream:
        assert stream.read() == b"plain"


def test_links_are_looked_at_and_never_followed(folder: Path) -> None:
    swap(folder, "lib/deep")
    (folder / "file").symlink_to(folder.parent / "outside" / "a.py")
    with Below(folder) as below:
        assert below.target("file") == str(folder.parent / "outside" / "a.py")
        with pytest.raises(OSError) as caught:
            below.open("file")
        assert caught.value.errno == errno.ELOOP
        for use in (below.look, below.open, below.target):
            with pytest.raises(NotADirectoryError):
                use("lib/deep/b.py")


def test_a_fifo_put_in_a_files_place_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    with Below(folder) as below:
        below.open("fifo").close()


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, Callable[[], None]], None]:
    """Does something between two looks: just before `call` is made for `name`."""

    def arrange(call: str, name: str, act: Callable[[], None]) -> None:
        real = getattr(Below, call)
        left = [act]

        def then(self: Below, asked: str) -> object:
            if asked == name and left:
                left.pop()()
            return real(self, asked)

        monkeypatch.setattr(Below, call, then)

    return arrange


def source(folder: Path) -> dict[str, bytes]:
    return {file.path: file.data for file in read_source(SourceSpec(path=str(folder))).files}


@pytest.mark.parametrize("reads", [source, digest_of])
def test_a_file_that_becomes_a_link_is_refused(
    folder: Path, meanwhile: Callable[..., None], reads: Callable[[Path], object]
) -> None:
    meanwhile("open", "lib/a.py", lambda: swap(folder, "lib/a.py"))
    with pytest.raises(UsageError, match=r"lib/a\.py (became a link|is a special file, or a link)"):
        reads(folder)


@pytest.mark.parametrize("reads", [source, digest_of])
def test_a_file_that_becomes_a_fifo_is_refused(
    folder: Path, meanwhile: Callable[..., None], reads: Callable[[Path], object]
) -> None:
    def put() -> None:
        (folder / "lib" / "a.py").unlink()
        os.mkfifo(folder / "lib" / "a.py")

    meanwhile("open", "lib/a.py", put)
    with pytest.raises(UsageError, match=r"lib/a\.py is (not a plain file|a special file)"):
        reads(folder)


def test_below_a_folder_that_becomes_a_link_nothing_of_a_source_is_read(
    folder: Path, meanwhile: Callable[..., None]
) -> None:
    meanwhile("look", "a.py", lambda: swap(folder, "lib"))
    assert source(folder) == {"a.py": b"plain", "z.py": b"plain"}


@pytest.mark.parametrize(("call", "name"), [("entries", "lib"), ("open", "lib/a.py")])
def test_an_input_with_a_folder_that_becomes_a_link_is_refused(
    folder: Path, meanwhile: Callable[..., None], call: str, name: str
) -> None:
    meanwhile(call, name, lambda: swap(folder, "lib"))
    with pytest.raises(UsageError, match="Not a directory"):
        digest_of(folder)


def test_the_names_of_a_folder_come_from_where_its_files_come_from(
    folder: Path, meanwhile: Callable[..., None]
) -> None:
    plain = digest_of(folder)
    (folder.parent / "outside" / "lib" / "deep" / "more.py").write_bytes(SECRET)
    meanwhile("look", "lib/deep", lambda: swap(folder, "lib"))
    assert digest_of(folder) == plain


def test_while_a_file_is_swapped_to_and_fro_nothing_from_outside_is_read(folder: Path) -> None:
    over = threading.Event()
    file, spare, secret = folder / "z.py", folder.parent / "spare", folder.parent / "outside" / "z.py"

    def flip() -> None:
        while not over.is_set():
            spare.symlink_to(secret)
            spare.replace(file)
            spare.write_bytes(b"plain")
            spare.replace(file)

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        for _ in range(300):
            try:
                read = read_source(SourceSpec(path=str(folder))).files
            except UsageError:
                continue
            assert SECRET not in [found.data for found in read if not found.symlink]
    finally:
        over.set()
        thread.join()
