from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from support.altered import flip_file, with_other_bytes

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.image.assembly import read_source_layer as module
from orchestrator.image.assembly.layers import source_layer
from orchestrator.image.assembly.read_source_layer import MAX_TEXT, source_files, source_texts
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Layer, LayerKind
from orchestrator.spec.source.source_tree import SourceFile, SourceTree

FILES = (
    SourceFile(path="big.bin", data=b"x" * (MAX_TEXT + 1)),
    SourceFile(path="pack/a b.py", data="é = 1\n".encode()),
    SourceFile(path="run.sh", data=b"#!/bin/sh\n", executable=True),
    SourceFile(path="to", data=b"run.sh", symlink=True),
)


@pytest.fixture
def layout(tmp_path: Path) -> ImageLayout:
    return ImageLayout(tmp_path)


def test_a_source_comes_back_as_it_went_in(layout: ImageLayout) -> None:
    found = source_texts(layout, source_layer(layout, SourceTree(files=FILES)))
    assert list(found) == [file.path for file in FILES]
    for file in FILES:
        one = found[file.path]
        assert (one.digest, one.size) == (Digest.of(file.data), len(file.data))
        assert (one.executable, one.symlink) == (file.executable, file.symlink)
        assert one.data == (None if len(file.data) > MAX_TEXT else file.data)


def test_a_damaged_layer_is_refused(layout: ImageLayout) -> None:
    layer = source_layer(layout, SourceTree(files=FILES))
    path = layout.path(layer.digest)
    flip_file(path, -3000)
    with pytest.raises(StoreError, match="no longer has"):
        source_texts(layout, layer)
    path.unlink()
    with pytest.raises(StoreError, match="not on this box"):
        source_texts(layout, layer)


def test_what_is_no_plain_tar_is_refused(layout: ImageLayout, tmp_path: Path) -> None:
    digest, size = layout.put_parts([b"no tar at all" * 100])
    layer = Layer(kind=LayerKind.SOURCE, digest=digest, diff_id=digest, size=size)
    with pytest.raises(StoreError, match="cannot be read"):
        source_texts(layout, layer)
    with pytest.raises(StoreError, match="not a plain tar"):
        source_texts(layout, layer.model_copy(update={"media_type": "application/x-tar+gzip"}))


def test_links_lead_nowhere_and_other_places_are_not_looked_at(layout: ImageLayout, tmp_path: Path) -> None:
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


def hostile(tmp_path: Path, kind: str) -> Path:
    """A tar that no source layer is, under names that a source layer has."""
    path = tmp_path / "layer.tar"
    name = f"{module.in_image(module.SOURCE)}/file"
    if kind == "sparse":
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
            info = tarfile.TarInfo(name)
            info.pax_headers = {
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.realsize": str(1 << 40),
            }
            info.pax_headers["GNU.sparse.name"] = name
            data = b"0\n".ljust(512, b"\0")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    elif kind == "headers":  # each is about the next one
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2
        path.write_bytes((info.tobuf(tarfile.GNU_FORMAT) + b"x\0".ljust(512, b"\0")) * 5000)
    elif kind == "many":
        with tarfile.open(path, "w") as archive:
            for number in range(50):
                archive.addfile(tarfile.TarInfo(f"{name}{number}"))
    else:
        info = tarfile.TarInfo(name)
        info.size = 1 << 50
        path.write_bytes(info.tobuf(tarfile.GNU_FORMAT))
    return path


@pytest.mark.parametrize("kind", ["sparse", "headers", "many", "huge"])
def test_a_hostile_layer_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBERS", 20)
    with pytest.raises(StoreError, match="cannot be read"):
        for entry in source_files(hostile(tmp_path, kind)):
            assert len(entry.stream.read(1 << 20)) < 1 << 20


def test_any_changed_byte_is_told_or_does_not_matter(layout: ImageLayout, tmp_path: Path) -> None:
    whole = layout.path(source_layer(layout, SourceTree(files=FILES[1:])).digest).read_bytes()
    path = tmp_path / "changed.tar"

    @given(with_other_bytes(whole, 6))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        try:
            for entry in source_files(path):
                entry.stream.read(1 << 20)
        except StoreError as error:
            assert str(path) in error.message

    check()
