from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.image.image_layout import ImageLayout


def test_a_blob_lies_under_its_digest(layout: ImageLayout) -> None:
    digest = layout.put_bytes(b"hello")
    assert digest == Digest.of(b"hello")
    assert layout.path(digest) == layout.folder / "blobs" / "sha256" / digest.hex
    assert layout.read(digest) == b"hello"
    assert layout.has(digest, 5)
    assert not layout.has(digest, 6)


def test_a_blob_that_is_there_is_not_written_again(layout: ImageLayout) -> None:
    digest, _ = layout.put_parts([b"hel", b"lo"])
    before = layout.path(digest).stat()
    layout.put_bytes(b"hello")
    after = layout.path(digest).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_blob_cut_short_is_written_again(layout: ImageLayout) -> None:
    digest = layout.put_bytes(b"hello")
    layout.path(digest).write_bytes(b"hel")
    layout.put_bytes(b"hello")
    assert layout.read(digest) == b"hello"


def test_a_stream_is_stored_under_the_digest_of_what_came(layout: ImageLayout) -> None:
    digest, size = layout.put_chunks(iter([b"a" * 10, b"b" * 20]))
    assert (layout.read(digest), size) == (b"a" * 10 + b"b" * 20, 30)


def test_a_stream_that_breaks_leaves_nothing(layout: ImageLayout) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"half"
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        layout.put_chunks(breaking())
    assert list((layout.folder / "blobs" / "sha256").iterdir()) == []


def test_damage_is_found_where_it_is_asked_for(layout: ImageLayout) -> None:
    digest = layout.put_bytes(b"hello")
    layout.path(digest).write_bytes(b"hellO")
    with layout.open(digest) as stream:
        assert stream.read() == b"hellO"
    with pytest.raises(StoreError, match="no longer has"):
        layout.open(digest, verify=True)
    with pytest.raises(StoreError, match="no longer has"):
        layout.read(digest)
    layout.path(digest).write_bytes(b"hello")
    with layout.open(digest, verify=True) as stream:
        assert stream.read() == b"hello"


def test_an_absent_blob_is_named(layout: ImageLayout) -> None:
    with pytest.raises(StoreError, match=Digest.of(b"x")):
        layout.open(Digest.of(b"x"))


def test_an_unreadable_index_entry_is_none(layout: ImageLayout) -> None:
    assert layout.read_index("k") is None
    layout.write_index("k", {"a": 1})
    assert layout.read_index("k") == {"a": 1}
    (layout.folder / "index" / "k.json").write_bytes(b'{"a":')
    assert layout.read_index("k") is None
