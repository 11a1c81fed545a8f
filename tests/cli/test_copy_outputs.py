"""Outputs copied into a folder: no name escapes, no link is followed, no wrong byte stays."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.copy_outputs import copy_outputs, why_not
from orchestrator.digest import Digest
from orchestrator.errors import RepriseError, StoreError, UsageError
from orchestrator.run.attempt_model import Output, OutputStatus

Blobs = Callable[[Digest], BinaryIO]
CONTENT = {"model.pt": b"weights" * 1000, "logs/a/b.txt": b"text", "empty": b""}


def outputs_of(content: dict[str, bytes]) -> list[Output]:
    return [
        Output(path=path, status=OutputStatus.KEPT, digest=Digest.of(data), size=len(data))
        for path, data in content.items()
    ]


@pytest.fixture
def blobs() -> Blobs:
    by_digest = {Digest.of(data): data for data in CONTENT.values()}
    return lambda digest: io.BytesIO(by_digest[digest])


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_is_copied(tmp_path: Path, blobs: Blobs) -> None:
    target = tmp_path / "new" / "folder"
    assert copy_outputs(outputs_of(CONTENT), target, blobs, force=False) == sum(map(len, CONTENT.values()))
    assert files(target) == CONTENT
    assert (target / "model.pt").stat().st_mode & 0o111 == 0


def test_nothing_is_overwritten_and_nothing_is_written_then(tmp_path: Path, blobs: Blobs) -> None:
    (tmp_path / "empty").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"already in .*: empty") as caught:
        copy_outputs(outputs_of(CONTENT), tmp_path, blobs, force=False)
    assert "--force" in str(caught.value.hint)
    assert files(tmp_path) == {"empty": b"mine"}


class Endless(io.RawIOBase):
    """A file of holes, as somebody may put one into a store."""

    def read(self, size: int = -1) -> bytes:
        return bytes(size)


def test_a_blob_that_never_ends_fills_no_disk(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not those of"):
        copy_outputs(outputs_of({"w.pt": b"weights"}), tmp_path, lambda _: Endless(), force=False)  # type: ignore[arg-type,return-value]
    assert files(tmp_path) == {}


def test_force_replaces(tmp_path: Path, blobs: Blobs) -> None:
    (tmp_path / "empty").write_bytes(b"mine")
    copy_outputs(outputs_of(CONTENT), tmp_path, blobs, force=True)
    assert files(tmp_path) == CONTENT


@pytest.mark.parametrize("force", [False, True])
def test_a_link_at_the_place_of_a_file_is_not_followed(tmp_path: Path, blobs: Blobs, force: bool) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.write_bytes(b"precious")
    target.mkdir()
    (target / "model.pt").symlink_to(outside)
    if force:
        copy_outputs(outputs_of(CONTENT), target, blobs, force)
        assert not (target / "model.pt").is_symlink()
    else:
        with pytest.raises(UsageError):
            copy_outputs(outputs_of(CONTENT), target, blobs, force)
    assert outside.read_bytes() == b"precious"


@pytest.mark.parametrize("force", [False, True])
def test_a_dangling_link_is_not_followed(tmp_path: Path, blobs: Blobs, force: bool) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "empty").symlink_to(tmp_path / "made")
    if force:
        copy_outputs(outputs_of(CONTENT), target, blobs, force)
    else:
        with pytest.raises(UsageError):
            copy_outputs(outputs_of(CONTENT), target, blobs, force)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("force", [False, True])
def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path, blobs: Blobs, force: bool) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (target / "logs").symlink_to(outside)
    with pytest.raises(UsageError, match="in the way"):
        copy_outputs(outputs_of(CONTENT), target, blobs, force)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("path", ["../up", "/etc/x", "a/../../b", "a//b", ".", "", "a/./b", "nul\x00"])
def test_unsafe_names_are_refused_before_anything_is_written(tmp_path: Path, path: str) -> None:
    target = tmp_path / "target"
    with pytest.raises(StoreError, match="unsafe path"):
        copy_outputs(outputs_of({"good": b"", path: b""}), target, lambda _: io.BytesIO(), force=True)
    assert not target.exists()


@pytest.mark.parametrize("force", [False, True])
def test_wrong_bytes_leave_nothing_behind(tmp_path: Path, force: bool) -> None:
    if force:
        (tmp_path / "model.pt").write_bytes(b"before")
    with pytest.raises(StoreError, match=r"model\.pt"):
        copy_outputs(outputs_of({"model.pt": b"good"}), tmp_path, lambda _: io.BytesIO(b"bad!"), force)
    assert files(tmp_path) == ({"model.pt": b"before"} if force else {})


def test_a_name_that_is_too_long_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(RepriseError, match="File name too long"):
        copy_outputs(outputs_of({"x" * 300: b""}), tmp_path, lambda _: io.BytesIO(), force=False)
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot write to"):
        copy_outputs(outputs_of({"a": b""}), tmp_path / "file", lambda _: io.BytesIO(), force=False)


def link(path: str, text: str) -> Output:
    return Output(path=path, status=OutputStatus.REJECTED, reason="symlink", target=text)


@pytest.mark.parametrize(
    ("path", "text", "inside"),
    [
        ("best", "ckpt/a.pt", True),
        ("a/b/best", "../../model.pt", True),
        ("a/best", "../b/./c//d", True),
        ("here", ".", True),
        ("best", "/etc/passwd", False),
        ("best", "../x", False),
        ("a/best", "../../x", False),
        ("a/best", "b/../../../x", False),
        ("a/best", "b/../c", False),  # b may be a link itself
        ("best", "", False),
        ("best", "a\0b", False),
    ],
)
def test_a_link_that_stays_inside_is_made_again(path: str, text: str, inside: bool) -> None:
    assert (why_not(link(path, text)) is None) is inside


def test_a_link_whose_text_is_not_known_to_the_letter_is_not() -> None:
    output = link("x", "a\\x1b").model_copy(update={"reason": "symlink, and in its text: ..."})
    assert why_not(output) == "symlink, and in its text: ..."


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TEXTS = st.lists(st.sampled_from(["a", "b", "c", "..", ".", "", "/tmp"]), min_size=1, max_size=5).map(
    "/".join
)


@given(
    st.dictionaries(PATHS, TEXTS, min_size=1, max_size=6), st.dictionaries(PATHS, st.just(b"x"), max_size=4)
)
def test_whatever_links_there_are_nothing_leads_or_is_written_outside(
    links: dict[str, str], content: dict[str, bytes]
) -> None:
    outputs = [
        *outputs_of(content),
        *(link(path, text) for path, text in links.items() if path not in content),
    ]
    with tempfile.TemporaryDirectory() as root:
        target = Path(root).resolve() / "1/2/3/target"
        for force in (False, True):
            with suppress(UsageError):  # a file where a folder or a link should be
                copy_outputs(
                    [one for one in outputs if why_not(one) is None],
                    target,
                    lambda _: io.BytesIO(b"x"),
                    force,
                )
        made = [Path(folder, name) for folder, below, names in os.walk(target) for name in (*below, *names)]
        for place in made:
            with suppress(OSError, RuntimeError):  # a loop of links leads nowhere
                assert place.resolve(strict=True).is_relative_to(target)
        others = [path for path in Path(root).rglob("*") if not path.is_relative_to(target)]
        assert {path.name for path in others} <= {"1", "2", "3"}
