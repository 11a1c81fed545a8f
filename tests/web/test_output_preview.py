"""Previews: bounded, and nothing of the file is run, unpacked or unpickled."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.digest import Digest
from orchestrator.web.previews import output_preview as room
from orchestrator.web.previews.output_preview import LARGEST_IMAGE, LOOKED, ROWS, preview


def png(width: int, height: int) -> bytes:
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + sides + b"\x08\x02\0\0\0"


def jpeg(width: int, height: int) -> bytes:
    """With 300 KB of tables and a profile before the frame, as cameras write them."""
    sides = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    tables = b"\xff\xe1\xff\xff" + b"\xff\xc0" * 32766 + b"\0"
    return b"\xff\xd8" + 5 * tables + b"\xff\xff\xff\xc4\0\x04ab" + b"\xff\xc2\0\x11\x08" + sides + b"\x03"


def webp(kind: bytes, data: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + kind + b"\x0a\0\0\0" + data


def lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + width.to_bytes(2, "little") + height.to_bytes(2, "little"))


def lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L", b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + b"\0" * 5)


def extended(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp(b"VP8X", b"\0\0\0\0" + sides)


IMAGES = (png, jpeg, lossy, lossless, extended)
PICTURES = tuple(image(40, 30) for image in IMAGES)


class OneBlob:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def open(self, _digest: Digest) -> io.BytesIO:
        return io.BytesIO(self._data)


def look(data: bytes, path: str = "x.bin", size: int | None = None) -> Any:
    return preview(OneBlob(data), Digest.of(data), path, len(data) if size is None else size)  # type: ignore[arg-type]


def safetensors(header: object, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + b"\0" * 16


def test_text_is_cut_and_cleaned() -> None:
    found = look(("é" * LOOKED).encode(), "x.txt")
    assert (found.kind, found.cut) == ("text", True)
    assert found.text == "é" * (LOOKED // 2)
    assert look(b"\x1b[31mred\xe2\x80\xae", "x.log").text == "red"


def test_a_table_of_text() -> None:
    found = look(b"a,b\n1,<b>\n=1+1\n", "x.csv")
    assert found.table == (["a", "b"], [["1", "<b>"], ["=1+1", ""]], ())
    long = look(b"a,b\n" + b"1,2\n" * 200, "x.csv")
    assert (len(long.table.rows), long.cut) == (ROWS, True)
    assert look(b"a\tb\n1\t2\n", "x.tsv").kind == "table"


@pytest.mark.parametrize("head", PICTURES)
def test_an_image_is_known_by_its_bytes_and_is_not_large(head: bytes) -> None:
    assert look(head, "x.html").kind == "image"
    assert look(head, "x.png", LARGEST_IMAGE + 1).kind == "none"


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_that_a_browser_would_not_bear_is_not_shown(image: Any) -> None:
    """Of 16,000 x 16,000 pixels a browser makes a gigabyte, and a file of them may have some KB."""
    assert room.image_pixels(image(40, 30)) == 1200
    assert look(image(8000, 5000), "x.png").kind == "image"
    found = look(image(16_000, 16_000), "x.png")
    assert (found.kind, found.why) == ("none", "an image of 256,000,000 pixels; 40,000,000 are shown")
    assert look(image(40, 30)[:20], "x.png").kind == "none"
    assert room.too_many_pixels(image(16_000, 16_000))


def test_shapes_come_from_the_header_alone() -> None:
    entry = {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}
    found = look(safetensors({"__metadata__": {"a": "b"}, "w": entry}), "m.safetensors")
    assert found.table.rows == [("w", "F32", "3 x 4")]
    array = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n"
    assert look(array, "x.npy").table.rows == [("array", "<f4", "3 x 4")]


@pytest.mark.parametrize(
    "data",
    [
        safetensors({"w": {"dtype": "F32"}}, length=1 << 40),
        safetensors(b'{"w": ' + b"[" * 5000),
        safetensors(b'{"w": 1, "w": 2}'),
        safetensors(b"{NaN}"),
        b"\x93NUMPY\x01\x00\xff\xff__import__('os').system('true')",
        b"PK\x03\x04\0\0",
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
        b"\x80\x05cos\nsystem\n(S'true'\ntR.",
    ],
)
def test_what_is_no_header_of_tensors_is_none(data: bytes) -> None:
    assert look(data, "model.pt").kind in ("none", "text")


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def test_tensors_within_a_zip() -> None:
    """By hand, as torch.save writes it; what PyTorch itself writes is read in test_torch_file.py."""
    array = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n"
    found = look(zipped({"w.npy": array, "b.npy": b"no"}), "x.npz")
    assert found.table.rows == [("w", "<f4", "3 x 4"), ("b", "?", "?")]
    stored = b"(X\x07\0\0\0storagectorch\nHalfStorage\nX\x01\0\0\x000NK\x06tQ"
    weights = b"(" + stored + b"K\0K\x02K\x03\x86K\x03K\x01\x86\x89Nt"
    both = (
        b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n" + weights + b"RsK\x07cmine\nNet\n)\x81s."
    )
    found = look(zipped({"a/data.pkl": both, "a/data/0": b"\0" * 8}), "x.pt")
    assert found.table.rows == [("w", "float16", "2 x 3 (needs 12 bytes and has 8)")]
    assert found.note.startswith("It also holds objects of mine.Net: none is made")
    found = look(zipped({"a/data.pkl": b"\x80\x02cmine\nNet\n)\x81."}), "x.pt")
    assert (found.kind, found.why.partition(".")[0]) == (
        "none",
        "a file of PyTorch in which no tensor is found",
    )
    assert look(zipped({"a/data.pkl": b"S'x'\n."}), "x.pt").why.startswith(
        "its tensors are not read: its pickle"
    )
    assert look(zipped({"a.txt": b"x"}), "x.zip").why.startswith("no text, image or table")


@given(st.binary(max_size=300), st.sampled_from(["x", "x.csv", "x.tsv", "x.safetensors", "x.npy"]))
def test_any_bytes_have_a_preview_or_none(data: bytes, path: str) -> None:
    assert look(data, path).kind in ("none", "text", "table", "image", "tensors")


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda x: st.lists(x) | st.dictionaries(st.text(max_size=5), x),
        max_leaves=8,
    )
)
def test_any_header_is_read_or_not(header: object) -> None:
    look(safetensors({"w": header, "v": {"shape": header, "dtype": header}}))


def test_what_is_not_shown_is_said() -> None:
    """A table that ends at a column looks whole, and so does a list of tensors."""
    for columns, cut in ((room.COLUMNS, False), (room.COLUMNS + 1, True)):
        found = look(",".join(map(str, range(columns))).encode() + b"\n1,2\n", "x.csv")
        assert (found.kind, len(found.table.columns), found.cut) == ("table", room.COLUMNS, cut)
    assert look(b"a,b\n" + b",".join([b"1"] * 40) + b"\n", "x.csv").cut
    entry = {"dtype": "F32", "shape": [2] * 17, "data_offsets": [0, 0]}
    for count, cut in ((room.TENSORS, False), (room.TENSORS + 1, True)):
        found = look(safetensors({f"t{number}": entry for number in range(count)} | {"__metadata__": {}}))
        rows = list(found.table.rows)
        assert (found.kind, len(rows), found.cut) == ("tensors", room.TENSORS, cut)
        assert rows[0][2].endswith(" x …")
