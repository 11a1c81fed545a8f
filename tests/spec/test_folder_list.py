"""The list of a folder: one spelling for each folder, read in pieces, and nothing else is taken."""

from __future__ import annotations

import io
import json
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.digest import canonical_json
from orchestrator.spec import folder_list
from orchestrator.spec.folder_list import is_list, list_chunks, may_be_list, read_list

HEX = "0123456789abcdef" * 4


class Dripping(io.BytesIO):
    """Gives a few bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(7, size if size and size > 0 else 7))


names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


def without_folders(found: set[str]) -> list[str]:
    """Paths of files: none lies below another one."""
    above = {str(parent) for path in found for parent in list(PurePosixPath(path).parents)[:-1]}
    return sorted(found - above, key=str.encode)


folders = st.sets(paths, max_size=8).map(without_folders)


@given(folders, st.data())
def test_what_hashing_gives_comes_back(found: list[str], data: st.DataObject) -> None:
    sizes = st.integers(0, folder_list.MOST_SIZE - 1)
    entries = [(path, HEX, data.draw(sizes)) for path in found]
    written = b"".join(list_chunks(entries))
    assert written == canonical_json(entries)
    for stream in (io.BytesIO(written), Dripping(written)):
        assert [tuple(one) for one in read_list(stream)] == entries
    assert may_be_list(written[:3], len(written))


def test_a_long_list_is_written_in_pieces_as_one() -> None:
    entries = [(f"{number:07}", HEX, number) for number in range(2500)]
    assert b"".join(list_chunks(entries)) == canonical_json(entries)
    assert len(list(list_chunks(entries))) > 2


@given(folders.filter(bool), st.integers(0), st.binary(min_size=1, max_size=3), st.booleans())
def test_one_byte_more_less_or_other_is_no_list_or_another_one(
    found: list[str], where: int, more: bytes, insert: bool
) -> None:
    written = canonical_json([(path, HEX, 1) for path in found])
    at = where % (len(written) + 1)
    changed = written[:at] + more + written[at if insert else at + len(more) :]
    if not is_list(io.BytesIO(changed)):
        return
    entries = [tuple(one) for one in read_list(io.BytesIO(changed))]
    assert canonical_json(entries) == changed  # its only spelling
    kept = [path for path, _, _ in entries]
    assert kept == without_folders(set(kept))


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_anything_else_is_no_list(data: bytes) -> None:
    assert is_list(io.BytesIO(data)) is (data == b"[]")


@pytest.mark.parametrize(
    "wrong",
    [
        [["/a", HEX, 1]],
        [["a/../b", HEX, 1]],
        [["..", HEX, 1]],
        [["a//b", HEX, 1]],
        [["a/", HEX, 1]],
        [["./a", HEX, 1]],
        [["", HEX, 1]],
        [["a\0b", HEX, 1]],
        [["a" * 256, HEX, 1]],
        [["a/" * 2100 + "a", HEX, 1]],
        [["a", HEX, 1], ["a", HEX, 1]],
        [["b", HEX, 1], ["a", HEX, 1]],
        [["a", HEX, 1], ["a!", HEX, 1], ["a/b", HEX, 1]],
        [["a", HEX, -1]],
        [["a", HEX, 1.5]],
        [["a", HEX, True]],
        [["a", HEX, "1"]],
        [["a", HEX, 1 << 50]],
        [["a", HEX.upper(), 1]],
        [["a", HEX[:-1], 1]],
        [["a", HEX]],
        [["a", HEX, 1, 1]],
        ["a", HEX, 1],
        {"a": [HEX, 1]},
        [[]],
    ],
)
def test_entries_that_no_folder_has(wrong: object) -> None:
    assert not is_list(io.BytesIO(canonical_json(wrong)))


@pytest.mark.parametrize(
    "spelling",
    [
        json.dumps([["a", HEX, 1]]),
        f'[["\\u0061","{HEX}",1]]',
        f'[["a\\/b","{HEX}",1]]',
        f'[["\\ud800","{HEX}",1]]',
        f'[["a","{HEX}",01]]',
        f'[["a","{HEX}",1]]\n',
        f'[["a","{HEX}",1],]',
        f'[["a","{HEX}",1]',
        f'[["a","{HEX}",1]][]',
        f'[["{chr(9)}","{HEX}",1]]',
        "",
    ],
)
def test_another_spelling_is_no_list(spelling: str) -> None:
    assert not is_list(io.BytesIO(spelling.encode()))
    assert not is_list(io.BytesIO(b"\xff" + spelling.encode()))


def test_a_list_without_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_list, "MOST_LIST", 3 << 20)

    class Endless:
        number = 0

        def read(self, size: int, /) -> bytes:
            self.number += 1
            start = b"[" if self.number == 1 else b","
            return start + b",".join(
                canonical_json([f"{self.number * 10_000 + one:09}", HEX, 1]) for one in range(5000)
            )

    with pytest.raises(ValueError, match="more than 3,145,728 bytes"):
        for _ in read_list(Endless()):
            pass
    assert not may_be_list(b'[["', 4 << 20)
