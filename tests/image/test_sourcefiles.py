from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.image.layers import source_layer
from orchestrator.image.layout import Layout
from orchestrator.image.model import Layer, LayerKind
from orchestrator.image.sourcefiles import MAX_TEXT, source_texts
from orchestrator.spec.tree import SourceFile, SourceTree

FILES = (
    SourceFile(path="big.bin", data=b"x" * (MAX_TEXT + 1)),
    SourceFile(path="pack/a b.py", data="é = 1\n".encode()),
    SourceFile(path="run.sh", data=b"#!/bin/sh\n", executable=True),
    SourceFile(path="to", data=b"run.sh", symlink=True),
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_a_source_comes_back_as_it_went_in(layout: Layout) -> None:
    found = source_texts(layout, source_layer(layout, SourceTree(files=FILES)))
    assert list(found) == [file.path for file in FILES]
    for file in FILES:
        one = found[file.path]
        assert (one.digest, one.size) == (Digest.of(file.data), len(file.data))
        assert (one.executable, one.symlink) == (file.executable, file.symlink)
        assert one.data == (None if len(file.data) > MAX_TEXT else file.data)


def test_a_damaged_layer_is_refused(layout: Layout) -> None:
    layer = source_layer(layout, SourceTree(files=FILES))
    path = layout.path(layer.digest)
    data = bytearray(path.read_bytes())
    data[-3000] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="no longer has"):
        source_texts(layout, layer)
    path.unlink()
    with pytest.raises(StoreError, match="not on this box"):
        source_texts(layout, layer)


def test_what_is_no_plain_tar_is_refused(layout: Layout, tmp_path: Path) -> None:
    digest, size = layout.put_parts([b"no tar at all" * 100])
    layer = Layer(kind=LayerKind.SOURCE, digest=digest, diff_id=digest, size=size)
    with pytest.raises(StoreError, match="cannot be read"):
        source_texts(layout, layer)
    with pytest.raises(StoreError, match="not a plain tar"):
        source_texts(layout, layer.model_copy(update={"media_type": "application/x-tar+gzip"}))


def test_links_lead_nowhere_and_other_places_are_not_looked_at(layout: Layout, tmp_path: Path) -> None:
    """A tar that somebody else made: hard links, devices and files beside the source say nothing."""
    path = tmp_path / "made.tar"
    (tmp_path / "passwd").write_text("secret")
    with tarfile.open(path, "w") as archive:
        for name, kind, target in (
            ("opt/reprise/source/link", tarfile.SYMTYPE, "/etc/passwd"),
            ("opt/reprise/source/hard", tarfile.LNKTYPE, "etc/passwd"),
            ("opt/reprise/source/pipe", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
        archive.add(tmp_path / "passwd", "etc/passwd")
    digest, size = layout.put_parts([path.read_bytes()])
    layer = Layer(kind=LayerKind.SOURCE, digest=digest, diff_id=digest, size=size)
    [(name, found)] = source_texts(layout, layer).items()
    assert (name, found.symlink, found.data) == ("link", True, b"/etc/passwd")
