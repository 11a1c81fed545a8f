from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import StoreError, UsageError
from orchestrator.image.assembly import tar


def by_tarfile(entries: list[tar.Member]) -> bytes:
    """The same archive, written by Python's tarfile."""
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="strict"
    ) as archive:
        for entry in sorted(entries, key=lambda entry: entry.path.encode()):
            info = tarfile.TarInfo(entry.path)
            info.mtime, info.mode, info.type = tar.MTIME, entry.mode, entry.kind
            if entry.kind == tarfile.SYMTYPE:
                info.linkname = tar.content(entry).decode()
                archive.addfile(info)
            elif entry.kind == tarfile.DIRTYPE:
                archive.addfile(info)
            else:
                data = tar.content(entry)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def joined(entries: list[tar.Member], roots: tuple[str, ...] = ()) -> bytes:
    return b"".join(tar.tar_chunks(entries, roots))


names = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"), min_size=1, max_size=120
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@given(
    st.dictionaries(
        paths,
        st.tuples(st.binary(max_size=2000), st.sampled_from([0o644, 0o755]), st.sampled_from("fds")),
        max_size=8,
    )
)
def test_bytes_are_those_of_tarfile(tree: dict[str, tuple[bytes, int, str]]) -> None:
    entries = []
    for path, (data, mode, kind) in tree.items():
        if kind == "f":
            entries.append(tar.Member(path, data, mode))
        elif kind == "d":
            entries.append(tar.folder(path))
        else:
            entries.append(tar.symlink(path, b"target/" + path.replace("/", "_").encode()))
    try:
        tar.check_entries(entries)
    except UsageError:
        return
    assert joined(entries) == by_tarfile(entries)


@pytest.mark.parametrize("length", [99, 100, 101, 255, 300])
@pytest.mark.parametrize("kind", ["file", "folder", "link", "target"])
def test_long_names_are_as_tarfile_writes_them(length: int, kind: str) -> None:
    name = "n" * length
    entry = {
        "file": tar.Member(name, b"x"),
        "folder": tar.folder(name),
        "link": tar.symlink(name, b"t"),
        "target": tar.symlink("l", name.encode()),
    }[kind]
    assert joined([entry]) == by_tarfile([entry])


def test_sizes_past_the_plain_header_are_as_tarfile_writes_them() -> None:
    info = tarfile.TarInfo("big")
    info.size, info.mode, info.mtime = 9 << 30, 0o644, tar.MTIME
    expected = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
    assert tar.header(tar.Member("big", tar.Span(-1, 0, 9 << 30))) == expected


def test_metadata_is_fixed_and_parents_come_once_below_our_roots_only() -> None:
    data = joined(
        [
            tar.Member("opt/ours/b/x.py", b"1"),
            tar.Member("opt/ours/b/y.sh", b"2", 0o755),
            tar.folder("opt/ours/b", 0o777),
            tar.Member("lib/python/foreign.pth", b"3"),
        ],
        ("opt/ours",),
    )
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = [(info.name, info.mode, info.isdir()) for info in archive.getmembers()]
        assert {
            (info.uid, info.gid, info.uname, info.gname, info.mtime) for info in archive.getmembers()
        } == {(0, 0, "", "", 315619200)}
    assert found == [
        ("lib/python/foreign.pth", 0o644, False),
        ("opt/ours", 0o755, True),
        ("opt/ours/b", 0o777, True),
        ("opt/ours/b/x.py", 0o644, False),
        ("opt/ours/b/y.sh", 0o755, False),
    ]


def test_order_is_by_utf8_bytes_whatever_the_order_given() -> None:
    names = ["z", "a-b", "a", "é", "a/b", "Z", "\U0001f600", "\uff5e"]
    entries = [tar.folder(name) if name == "a" else tar.Member(name) for name in names]
    with tarfile.open(fileobj=io.BytesIO(joined(entries))) as archive:
        assert archive.getnames() == sorted(names, key=lambda name: name.encode())
    assert joined(entries) == joined(entries[::-1])


HOSTILE = [
    "/etc/passwd",
    "../x",
    "a/../b",
    "a//b",
    "a/./b",
    "a/",
    "",
    "a\0b",
    ".wh.passwd",
    "a/.wh..wh..opq",
    ".wh.a/b",
    "bad\udcff",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_hostile_names_are_refused(path: str) -> None:
    with pytest.raises(UsageError):
        tar.tar_chunks([tar.Member(path, b"x")])


@pytest.mark.parametrize(
    "target", [b"/etc/passwd", b"..", b"../../x", b"a/../../x", b"d/..", b"", b"a\0b", b"\xff", b"./../.."]
)
def test_links_that_leave_the_tree_are_refused(target: bytes) -> None:
    with pytest.raises(UsageError):
        tar.tar_chunks([tar.symlink("link", target)])


@pytest.mark.parametrize("target", [b"../x", b"../../x", b"x", b"./x/y", b".", b"..x"])
def test_links_within_the_tree_are_kept(target: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(joined([tar.symlink("a/b/link", target)]))) as archive:
        info = archive.getmember("a/b/link")
    assert (info.linkname.encode(), info.mode, info.issym()) == (target, 0o777, True)


def test_a_path_cannot_be_there_twice() -> None:
    with pytest.raises(UsageError, match="two entries"):
        tar.tar_chunks([tar.Member("a", b"1"), tar.Member("a", b"1")])


@pytest.mark.parametrize("above", [tar.Member("a", b""), tar.symlink("a", b"b")])
def test_nothing_lies_below_a_file_or_a_link(above: tar.Member) -> None:
    with pytest.raises(UsageError, match="file and a folder"):
        tar.tar_chunks([above, tar.Member("a/b/c", b"")])


@pytest.mark.parametrize(
    "pair", [("README", "readme"), ("A/x", "a/y"), ("caf\u00e9", "cafe\u0301"), ("straße", "STRASSE")]
)
def test_names_that_some_file_systems_hold_to_be_one_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="differ only"):
        tar.check_portable(pair)
    tar.check_portable((pair[0], "other"))


def test_spans_are_read_from_their_file_and_a_short_one_is_an_error(tmp_path: Path) -> None:
    with tempfile.TemporaryFile(dir=tmp_path) as spool:
        spool.write(b"0123456789")
        spool.flush()
        span = tar.Span(spool.fileno(), 2, 5)
        assert joined([tar.Member("x", span)]) == joined([tar.Member("x", b"23456")])
        with pytest.raises(StoreError):
            joined([tar.Member("x", tar.Span(spool.fileno(), 2, 50))])
