"""Pickles and zips of an attacker: nothing is called, and all that can be raised is one error."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.altered import with_other_bytes

from orchestrator.web.previews import bounded_zip, torch_file
from orchestrator.web.previews import pickle_reading as room
from orchestrator.web.previews.bounded_zip import opened_zip
from orchestrator.web.previews.pickle_reading import ClassName, Held, UnreadFileError, read_pickle
from orchestrator.web.previews.torch_file import SavedFile, read_torch_file

NONES = b"N" * (torch_file.LARGEST_PICKLE + 1)


def text(word: str) -> bytes:
    data = word.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + struct.pack("<I", len(data)) + data


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(shape: bytes, stride: bytes, offset: bytes = number(0), count: bytes = number(4)) -> bytes:
    """What `torch.save` writes for one, whatever is said in it."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + count + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + shape + stride + b"\x89NtR"


def zipped(data: bytes, method: int = zipfile.ZIP_STORED, name: str = "a/data.pkl") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method, compresslevel=1) as archive:
        archive.writestr(zipfile.ZipInfo(name), data, method)
        archive.writestr(zipfile.ZipInfo("a/data/0"), b"\0" * 16)
    return stream.getvalue()


def read(data: bytes) -> SavedFile:
    with opened_zip(io.BytesIO(data)) as archive:
        return read_torch_file(archive, 500)


def named(key: bytes, *values: bytes) -> bytes:
    """A dictionary with each value under that key."""
    return b"\x80\x02}" + b"".join(key + value + b"s" for value in values) + b"."


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_plain_value_of_every_protocol_is_read(protocol: int) -> None:
    value = (None, True, -(1 << 70), 0.5, "é" * 300, b"x" * 300, bytearray(b"y"), (1, 2, 3, 4))
    found = read_pickle(pickle.dumps(value, protocol))
    assert found[:5] == value[:5]
    assert found[7] == value[7]
    held = read_pickle(pickle.dumps({"a": [1, 2], "b": {3}, "c": frozenset([4])}, protocol))
    assert [key for key, _ in held.pairs] == ["a", "b", "c"]
    assert held.pairs[0][1].items == [1, 2]


def test_nothing_is_called_or_looked_up(tmp_path: Path) -> None:
    """The usual attack: `pickle.loads` would touch the file, and import the module."""
    touched = tmp_path / "touched"
    for call in (b"cos\nsystem\n", b"cno.such.module\nx\n", text("os") + text("system") + b"\x93"):
        found = read_pickle(b"\x80\x04" + call + text(f"touch {touched}") + b"\x85R}" + text("a") + b"Nsb.")
        assert isinstance(found, Held)
        assert isinstance(found.made_by, ClassName)
        assert not touched.exists()
    seen = read(zipped(named(text("a"), b"cos\nsystem\n" + text("true") + b"\x85R")))
    assert (seen.tensors, seen.classes) == ([], ["os.system"])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends too early"),
        (b"N", "ends too early"),
        (b".", "not there"),
        (b"(.", "not there"),
        (b"t.", "a mark that is not there"),
        (b"(N" + b"u.", "a mark that is not there|key without|no container"),
        (b"}(Nu.", "a key without a value"),
        (b"NNa.", "no container"),
        (b"Nb.", "not there"),
        (b"h\x07.", "has not kept"),
        (b"X\xff\xff\xff\xff.", "ends too early"),
        (b"\x8d" + b"\xff" * 8 + b".", "ends too early"),
        (b"NN\x93.", "whose name is no text"),
        (b"c" + b"x" * 5000 + b"\nx\n.", "longer than 200"),
        (b"I" + b"9" * 9000 + b"\n.", "instruction 0x49"),
        (b"S'x'\n.", "instruction 0x53"),
        (b"\x82\x01.", "instruction 0x82"),  # the registry of extensions
        (b"N" * (room.MOST_STEPS + 1), "more than 500,000 instructions"),
    ],
)
def test_what_is_not_read_is_told(data: bytes, why: str) -> None:
    with pytest.raises(UnreadFileError, match=why):
        read_pickle(data)


def test_a_value_within_itself_or_two_to_the_forty_times_ends() -> None:
    within = b"]q\x00h\x00ah\x00a"
    bomb = b"N\x85q\x000" + b"h\x00h\x00\x86q\x000" * 40 + b"h\x00"
    deep = b")" + b"\x85" * 60_000
    lists = b"]" * 30_000 + b"a" * 29_999
    for value in (within, bomb, deep, lists):
        found = read(zipped(named(text("a"), value, tensor(numbers((2,)), numbers((1,))))))
        assert [one.shape for one in found.tensors] == [(2,)]
        assert found.cut == (value in (deep, lists))
    sparse = b"ctorch._utils\n_rebuild_sparse_tensor\n(N("
    nested = sparse * 5000 + b"N" + (numbers((2,)) + b"ttR") * 5000
    wrapped = b"ctorch._utils\n_rebuild_parameter\n" * 5000 + b"N" + b"\x85R" * 5000
    for value in (nested, wrapped):
        assert read(zipped(named(text("a"), value))).tensors == []


@pytest.mark.parametrize(
    ("shape", "stride", "offset", "count", "said"),
    [
        (numbers((1 << 62, 1 << 62)), numbers((1 << 62, 1)), number(0), number(4), "has 16"),
        (numbers((2,)), numbers((1,)), number(0), number(1 << 70), ""),
        (numbers((8,)), numbers((1,)), number(0), number(1 << 70), "needs 32 bytes and has 16"),
        (numbers((2,)), numbers((1,)), number(3), number(4), "needs 20 bytes and has 16"),
        (numbers((2,)), numbers((1,)), number(0), number(-9), "has 0"),
        (numbers((-1,)), numbers((1,)), number(0), number(4), "its shape cannot be read"),
        (numbers((1 << 63,)), numbers((1,)), number(0), number(4), "its shape cannot be read"),
        (numbers((1,) * 65), numbers((1,) * 65), number(0), number(4), "its shape cannot be read"),
        (b"(\x88t", numbers((1,)), number(0), number(4), "its shape cannot be read"),
        (text("3"), numbers((1,)), number(0), number(4), "its shape cannot be read"),
        (numbers((2,)), numbers((1, 1)), number(0), number(4), "cannot be read"),
        (numbers((2,)), numbers((-1,)), number(0), number(4), "cannot be read"),
        (numbers((2,)), numbers((1,)), b"N", number(4), "cannot be read"),
        (numbers((2,)), numbers((1,)), number(0), text("4"), ""),  # and its type is "?"
    ],
)
def test_a_shape_that_lies_is_doubted(
    shape: bytes, stride: bytes, offset: bytes, count: bytes, said: str
) -> None:
    found = read(zipped(named(text("w"), tensor(shape, stride, offset, count)))).tensors
    assert len(found) == 1
    assert found[0].doubt.endswith(said)
    assert bool(found[0].doubt) == bool(said)


def test_names_are_short_and_of_any_kind() -> None:
    keys = (text("n" * 5000), text("\ud800"), number(1 << 400), number(-1), b"\x88", b"N", b")", b"}")
    one = tensor(numbers((2,)), numbers((1,)))
    names = [read(zipped(named(key, one))).tensors[0].name for key in keys]
    assert names[0] == "n" * 200
    assert names[2:] == ["?", "-1", "True", "None", "?", "?"]
    path = b"\x80\x02" + (b"}" + text("k" * 90)) * 50 + one + b"s" * 50 + b"."
    assert len(read(zipped(path)).tensors[0].name) == 201


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"PK\x03\x04", "cannot be read"),
        (zipped(b"N.", name="a/other.pkl"), "0 parts called data.pkl"),
        (zipped(b"N.", name="data.pkl"), "0 parts called data.pkl"),
        (zipped(b"N.", zipfile.ZIP_LZMA), "packed in a way that is not read"),
        (zipped(NONES, zipfile.ZIP_DEFLATED), "more than 8 MiB"),
        (zipped(b"N.")[:-30], "cannot be read"),
        (zipped(b"N.").replace(b"N.", b"K."), "cannot be read"),  # not what its checksum says
        (zipped(b"N.").replace(b"a/data.pkl", b"b/data.pkl", 1), "cannot be read"),
    ],
)
def test_a_zip_that_lies_is_not_read(data: bytes, why: str) -> None:
    with pytest.raises(UnreadFileError, match=why):
        read(data)


def test_a_zip_of_many_parts_or_one_name_twice_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a/data.pkl", named(text("w"), tensor(numbers((2,)), numbers((1,)))))
        archive.writestr("a/data.pkl", b"N.")
    with pytest.raises(UnreadFileError, match="2 parts"):
        read(stream.getvalue())
    monkeypatch.setattr(bounded_zip, "LONGEST_READ", 100)
    with pytest.raises(UnreadFileError, match="the list of its parts"):
        read(zipped(b"N."))


WHOLE = zipped(named(text("w"), tensor(numbers((2,)), numbers((1,))), b"]" + text("x") + b"a"))
CODES = st.sampled_from(sorted(room._INSTRUCTIONS))


@given(st.lists(CODES | st.binary(max_size=3) | st.sampled_from((text("w"), number(9))), max_size=60))
@example([b"N", b"\x85", b"."])
def test_any_instructions_end_in_a_value_or_the_one_error(parts: list[bytes]) -> None:
    try:
        read(zipped(b"".join(parts) + b"."))
    except UnreadFileError as error:
        assert str(error)


@given(with_other_bytes(WHOLE, 4), st.integers(0, 9))
def test_any_altered_zip_ends_in_tensors_or_the_one_error(data: bytes, cut: int) -> None:
    try:
        read(data[: len(data) - cut])
    except UnreadFileError as error:
        assert str(error)
