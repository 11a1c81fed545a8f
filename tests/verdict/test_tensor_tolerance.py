from __future__ import annotations

import io
import json
import math
import struct
import sys
import tracemalloc
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import tries

from orchestrator.errors import StoreError
from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.verdict.outputs import tensor_tolerance
from orchestrator.verdict.outputs.tensor_tolerance import compare_tensors

EXACT = Tolerance()
# Written by numpy 2.4.6: numpy.lib.format.write_array(arange(6, dtype=">f4").reshape(2, 3, order="F"), ...)
_BODY = b"\x00\x00\x00\x00?\x80\x00\x00@\x00\x00\x00@@\x00\x00@\x80\x00\x00@\xa0\x00\x00"
_HEADER = b"{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }"
NUMPY = {
    1: b"\x93NUMPY\x01\x00v\x00" + _HEADER + b" " * 59 + b"\n" + _BODY,
    2: b"\x93NUMPY\x02\x00t\x00\x00\x00" + _HEADER + b" " * 57 + b"\n" + _BODY,
    3: b"\x93NUMPY\x03\x00t\x00\x00\x00" + _HEADER + b" " * 57 + b"\n" + _BODY,
}


def compare_npy(a: bytes, b: bytes, **tolerance: float) -> tensor_tolerance.TensorComparison:
    return compare_tensors("x.npy", io.BytesIO(a), io.BytesIO(b), Tolerance(**tolerance))


def compare_safe(a: bytes, b: bytes, **tolerance: float) -> tensor_tolerance.TensorComparison:
    return compare_tensors("x.safetensors", io.BytesIO(a), io.BytesIO(b), Tolerance(**tolerance))


# what is right


@pytest.mark.parametrize("version", NUMPY)
def test_numpys_own_files_are_read(version):
    changed = bytearray(NUMPY[version])
    changed[-8:-4] = struct.pack(">f", 4.5)  # the fifth element in Fortran order: [0, 2]
    found = compare_npy(NUMPY[version], bytes(changed), abs=0.25)
    assert not found.within
    assert (found.elements, found.max_abs, found.max_rel) == (6, 0.5, 0.125)
    assert found.worst is not None
    assert (found.worst.index, found.worst.original, found.worst.rerun) == ((0, 2), "4.0", "4.5")
    assert compare_npy(NUMPY[version], bytes(changed), abs=0.5).within
    assert compare_npy(NUMPY[version], bytes(changed), rel=0.125).within
    assert found.describe() == (
        "largest difference 0.5 absolute, 0.125 relative; worst at [0, 2]: 4.0 vs 4.5"
    )


VALUES = {  # dtype -> struct code; two numbers each can hold
    "<f2": ("<e", 1.5, 2.0),
    ">f2": (">e", 1.5, 2.0),
    "<f4": ("<f", 1.5, 2.0),
    ">f4": (">f", 1.5, 2.0),
    "<f8": ("<d", 1.5, 2.0),
    ">f8": (">d", 1.5, 2.0),
    "|i1": ("b", -100, 27),
    "<i2": ("<h", -300, 500),
    ">i2": (">h", -300, 500),
    "<i4": ("<i", -70000, 1),
    ">i4": (">i", -70000, 1),
    "<i8": ("<q", -(2**62), 2**62),
    ">i8": (">q", 2**53 + 1, 2**53),
    "|u1": ("B", 0, 255),
    "<u2": ("<H", 0, 65535),
    ">u4": (">I", 1, 2**32 - 1),
    "<u8": ("<Q", 2**64 - 1, 2**64 - 2),
    "|b1": ("?", True, False),
}


@pytest.mark.parametrize("dtype", VALUES)
def test_every_dtype_of_npy(npy, dtype):
    code, a, b = VALUES[dtype]
    order, letter = (code[0], code[1:]) if len(code) == 2 else ("", code)
    left = npy(dtype, (3,), struct.pack(f"{order}3{letter}", a, a, a))
    right = npy(dtype, (3,), struct.pack(f"{order}3{letter}", a, b, a))
    distance = abs(int(a) - int(b)) if isinstance(a, int) else abs(a - b)
    found = compare_npy(left, right)
    assert not found.problem
    assert not found.within
    assert found.max_abs == distance
    assert found.worst is not None
    same = type(0 + a)  # int for the integers, so that none is rounded
    assert (found.worst.index, same(found.worst.original), same(found.worst.rerun)) == ((1,), a, b)
    assert compare_npy(left, right, abs=distance).within
    assert compare_npy(left, left).describe() == "all 3 elements have the same values"


@pytest.mark.parametrize(
    ("dtype", "code"), [("<c8", "<4f"), (">c8", ">4f"), ("<c16", "<4d"), (">c16", ">4d")]
)
def test_complex_numbers_are_compared_by_modulus(npy, dtype, code):
    left = npy(dtype, (2,), struct.pack(code, 1, 2, 3, 4))
    right = npy(dtype, (2,), struct.pack(code, 1, 2, 6, 8))
    found = compare_npy(left, right, abs=4.9)
    assert not found.within
    assert (found.max_abs, found.max_rel) == (5.0, 1.0)
    assert found.worst is not None
    assert (found.worst.index, found.worst.original) == ((1,), "(3+4j)")
    assert compare_npy(left, right, rel=1.0).within


def _bf16(value: float) -> bytes:
    return struct.pack(">f", value)[1::-1]


SAFE = {
    "F64": lambda value: struct.pack("<d", value),
    "F32": lambda value: struct.pack("<f", value),
    "F16": lambda value: struct.pack("<e", value),
    "BF16": _bf16,
    "C64": lambda value: struct.pack("<2f", value, 0),
    "I64": lambda value: struct.pack("<q", value),
    "I32": lambda value: struct.pack("<i", value),
    "I16": lambda value: struct.pack("<h", value),
    "I8": lambda value: struct.pack("<b", value),
    "U64": lambda value: struct.pack("<Q", value),
    "U32": lambda value: struct.pack("<I", value),
    "U16": lambda value: struct.pack("<H", value),
    "U8": lambda value: struct.pack("<B", value),
    "BOOL": lambda value: struct.pack("<?", value == 3),
}


@pytest.mark.parametrize("dtype", SAFE)
def test_every_dtype_of_safetensors(safetensors, dtype):
    pack = SAFE[dtype]
    left = safetensors({"a": (dtype, [2], pack(2) * 2), "b.weight": (dtype, [2, 2], pack(2) * 4)})
    right = safetensors(
        {"a": (dtype, [2], pack(2) * 2), "b.weight": (dtype, [2, 2], pack(2) * 2 + pack(3) + pack(2))}
    )
    found = compare_safe(left, right)
    assert not found.problem
    assert not found.within
    assert (found.elements, found.max_abs) == (6, 1.0)
    assert found.worst is not None
    assert (found.worst.tensor, found.worst.index) == ("b.weight", (1, 0))
    assert "worst at b.weight[1, 0]: " in found.describe()
    assert compare_safe(left, right, abs=1).within


def test_tensors_may_lie_in_another_order(safetensors):
    a, b = ("F32", [1], struct.pack("<f", 1)), ("F32", [1], struct.pack("<f", 2))
    left, right = safetensors({"a": a, "b": b}), safetensors({"b": b, "a": a})
    assert compare_safe(left, right).within
    assert not compare_safe(left, safetensors({"b": a, "a": b})).within


def test_no_dimensions_and_no_elements(npy):
    scalar = npy("<f8", (), struct.pack("<d", 1))
    found = compare_npy(scalar, npy("<f8", (), struct.pack("<d", 2)))
    assert found.worst is not None
    assert found.worst.index == ()
    assert compare_npy(npy("<f8", (0, 10**15), b""), npy("<f8", (0, 10**15), b"")).within


def test_the_worst_is_beyond_its_tolerance_not_the_furthest_apart(npy):
    left = npy("<f8", (3,), struct.pack("<3d", 1000, 1, 1))
    right = npy("<f8", (3,), struct.pack("<3d", 1005, 1, 1.5))
    found = compare_npy(left, right, rel=0.01)
    assert not found.within
    assert found.max_abs == 5
    assert found.worst is not None
    assert found.worst.index == (2,)


def test_places_are_right_past_the_first_block(npy):
    count = tensor_tolerance.BLOCK * 2 + 5
    numbers = array("f", [1.0]) * count
    left = npy("<f4", (5, count // 5) if count % 5 == 0 else (count,), numbers.tobytes())
    numbers[tensor_tolerance.BLOCK + 3] = 2.0
    numbers[count - 1] = 4.0
    right = npy("<f4", (5, count // 5) if count % 5 == 0 else (count,), numbers.tobytes())
    found = compare_npy(left, right)
    assert found.worst is not None
    assert (found.worst.index, found.max_abs) == ((count - 1,), 3.0)
    assert not compare_npy(left, right, abs=2.5).within
    assert compare_npy(left, right, abs=3).within


# NaN, infinities, zero

SPECIAL = [
    (math.nan, math.nan, {}, True),
    (math.nan, 1.0, {"abs": math.inf, "rel": math.inf}, False),
    (1.0, math.nan, {"abs": math.inf, "rel": math.inf}, False),
    (math.inf, math.inf, {}, True),
    (math.inf, -math.inf, {"rel": 1.0}, False),
    (math.inf, 1.0, {"rel": 1.0}, False),
    (1.0, math.inf, {"abs": math.inf}, False),
    (0.0, -0.0, {}, True),
    (0.0, 1e-9, {"rel": 1e9}, False),
    (0.0, 1e-9, {"abs": 1e-9}, True),
    (0.0, 1e-9, {"rel": math.inf}, False),
    (1.0, -5.0, {"rel": math.inf}, True),
    (1e308, -1e308, {"rel": 1.9}, False),
    (1e308, -1e308, {"rel": 2.0}, True),
    (1e308, -1e308, {"abs": 1.7e308}, False),
    (5e-324, 0.0, {}, False),
]


@pytest.mark.parametrize(("a", "b", "tolerance", "within"), SPECIAL)
def test_what_is_no_ordinary_number(npy, a, b, tolerance, within):
    rest = [1.0] * 5
    left = npy("<f8", (6,), struct.pack("<6d", a, *rest))
    right = npy("<f8", (6,), struct.pack("<6d", b, *rest))
    assert compare_npy(left, right, **tolerance).within is within


@pytest.mark.parametrize(
    ("a", "b", "tolerance", "within"),
    [
        ((math.nan, 1), (math.nan, 1), {}, True),
        ((math.nan, 1), (math.nan, 2), {"abs": 9}, False),
        ((math.inf, 1), (math.inf, 1), {}, True),
        ((math.inf, 1), (-math.inf, 1), {"rel": 1}, False),
        ((1e308, 1e308), (-1e308, 1e308), {"abs": 1e308}, False),
        ((1, 1), (1, 3), {"abs": math.inf}, True),
    ],
)
def test_complex_that_is_no_ordinary_number(npy, a, b, tolerance, within):
    left, right = (npy("<c16", (2,), struct.pack("<4d", 1, 1, *pair)) for pair in (a, b))
    assert compare_npy(left, right, **tolerance).within is within


def test_a_number_against_nan_is_infinitely_far(npy):
    left, right = (npy("<f8", (2,), struct.pack("<2d", 1, value)) for value in (2.0, math.nan))
    found = compare_npy(left, right)
    assert (found.max_abs, found.max_rel) == (math.inf, math.inf)
    assert found.worst is not None
    assert (found.worst.index, found.worst.rerun) == ((1,), "nan")


def test_nan_of_other_bits_is_the_same_nan(npy):
    left, right = (npy("<f8", (1,), struct.pack("<Q", 0x7FF8000000000000 | bits)) for bits in (0, 1))
    assert compare_npy(left, right).within


# what no tolerance is for


def test_other_tensors_are_not_within_anything(npy, safetensors):
    one = ("F32", [1], b"\0" * 4)
    cases = [
        (npy("<f4", (2,), b"\0" * 8), npy("<f4", (1, 2), b"\0" * 8), "another shape: [2] vs [1, 2]"),
        (npy("<f4", (1,), b"\0" * 4), npy("<i4", (1,), b"\0" * 4), "another dtype: <f4 vs <i4"),
        (npy("<f4", (1,), b"\0" * 4), npy(">f4", (1,), b"\0" * 4), "another dtype: <f4 vs >f4"),
        (
            npy("<f4", (1, 1), b"\0" * 4),
            npy("<f4", (1, 1), b"\0" * 4, fortran=True),
            "cannot compare: one is in C order, the other in Fortran order",
        ),
    ]
    for left, right, problem in cases:
        found = compare_npy(left, right, abs=1e9)
        assert (found.within, found.problem) == (False, problem)
    safe = [
        ({"a": one}, {"b": one}, None, "other tensors: 'a' is only in one of them"),
        ({"a": one}, {"a": ("I32", [1], b"\0" * 4)}, None, "another dtype of 'a': F32 vs I32"),
        ({"a": one}, {"a": ("F32", [1, 1], b"\0" * 4)}, None, "another shape of 'a': [1] vs [1, 1]"),
        ({"a": one}, {"a": one}, {"epoch": "2"}, "other metadata: 'epoch' differs"),
    ]
    for left, right, metadata, problem in safe:
        found = compare_safe(
            safetensors(left, {"epoch": "1"} if metadata else None), safetensors(right, metadata)
        )
        assert (found.within, found.problem) == (False, problem)


def test_another_kind_of_file_is_not_compared():
    found = compare_tensors("model.pt", io.BytesIO(b"x"), io.BytesIO(b"y"), EXACT)
    assert found.problem == "cannot compare: only .npy and .safetensors files are compared by element"


# hostile files


def _npy(header: bytes, body: bytes = b"\0" * 4, version: int = 1) -> bytes:
    return (
        b"\x93NUMPY"
        + bytes((version, 0))
        + struct.pack("<H" if version == 1 else "<I", len(header))
        + header
        + body
    )


def _header(**changes: str) -> bytes:
    fields = {"descr": "'<f4'", "fortran_order": "False", "shape": "(1,)"} | changes
    return ("{" + ", ".join(f"'{key}': {value}" for key, value in fields.items()) + ", }\n").encode()


BAD_NPY = {
    "empty": (b"", "ends within its header"),
    "text": (b"hello, world", "not an .npy file"),
    "version 4": (_npy(_header(), version=4), "not an .npy file"),
    "cut in its header": (_npy(_header())[:20], "ends within its header"),
    "cut in its data": (_npy(_header(), b"\0"), "1 bytes where its header says 4"),
    "more data": (_npy(_header(), b"\0" * 5), "5 bytes where its header says 4"),
    "a header of 4 GiB": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "a header of 4,294,967,295 bytes"),
    "10^15 elements": (_npy(_header(shape="(1000000000000000,)")), "says 4,000,000,000,000,000"),
    "64 times 10^19": (_npy(_header(shape=f"({'9999999999999999999, ' * 64})")), "where its header says"),
    "65 dimensions": (_npy(_header(shape=f"({'1, ' * 65})")), "65 dimensions"),
    "a length of 21 digits": (_npy(_header(shape=f"({'1' * 21},)")), "its shape is not a tuple of lengths"),
    "objects": (_npy(_header(descr="'|O'")), "objects: those are pickles, which are never loaded"),
    "structured": (_npy(_header(descr="[('a', '<f4')]")), "a structured dtype"),
    "text dtype": (_npy(_header(descr="'<U1'")), "dtype '<U1'"),
    "date": (_npy(_header(descr="'<M8[ns]'")), "dtype '<M8[ns]'"),
    "long double": (_npy(_header(descr="'<f16'")), "dtype '<f16'"),
    "no byte order": (_npy(_header(descr="'|f4'")), "dtype '|f4'"),
    "an int for a tuple": (_npy(_header(shape="(1)")), "its shape is not a tuple"),
    "a negative length": (_npy(_header(shape="(-1,)")), "its header is not that of an array"),
    "a commas only shape": (_npy(_header(shape="(,)")), "its shape is not a tuple of lengths"),
    "code": (_npy(_header(shape="__import__('os').abort()")), "its header is not that of an array"),
    "another key": (_npy(_header(evil="'x'")), "its header is not that of an array"),
    "a key twice": (_npy(b"{'descr': '<f4', 'descr': '<f4', 'shape': (1,), }"), "'descr' twice"),
    "a key missing": (_npy(b"{'descr': '<f4', 'shape': (1,), }"), "its header is not that of an array"),
    "kinds mixed up": (
        _npy(_header(descr="True", fortran_order="'x'")),
        "its header is not that of an array",
    ),
    "not UTF-8": (_npy(b"\xff\xfe", version=3), "can't decode"),
    "something after": (_npy(_header() + b"1"), "its header is not that of an array"),
}


@pytest.mark.parametrize("name", BAD_NPY)
def test_a_malformed_npy_cannot_be_compared(npy, name):
    bad, why = BAD_NPY[name]
    good = npy("<f4", (1,), b"\0" * 4)
    for left, right, who in ((bad, good, "original"), (good, bad, "rerun")):
        found = compare_npy(left, right, abs=math.inf, rel=math.inf)
        assert not found.within
        assert found.problem.startswith(f"cannot compare: the {who} cannot be read as .npy: ")
        assert why in found.problem


def _safe(header: object, body: bytes = b"\0" * 4) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def _entry(**changes: object) -> dict[str, object]:
    return {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | changes}


BAD_SAFE = {
    "empty": (b"", "ends within its header"),
    "a header of 2^63": (struct.pack("<Q", 1 << 63) + b"{}", "a header of 9,223,372,036,854,775,808"),
    "a header longer than the file": (struct.pack("<Q", 100) + b"{}", "a header of 100 bytes"),
    "no JSON": (_safe(b"{"), "cannot be read"),
    "a list": (_safe(b"[]"), "its header is not an object"),
    "deep": (_safe(b'{"a":' * 50_000 + b"1" + b"}" * 50_000), "its header: nested too deeply"),
    "a key twice": (_safe(b'{"a": 1, "a": 1}'), "a key occurs twice"),
    "NaN": (_safe(b'{"a": NaN}'), "NaN is not JSON"),
    "a huge integer": (_safe(b'{"a": ' + b"1" * 5000 + b"}"), "cannot be read"),
    "UTF-16": (_safe(json.dumps(_entry()).encode("utf-16")), "can't decode"),
    "half a surrogate": (
        _safe(b'{"\\ud800": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
        "surrogates",
    ),
    "half a surrogate as dtype": (_safe(_entry(dtype="\ud800")), "dtype '\\ud800'"),
    "an entry that is text": (_safe({"a": "F32"}), "no plain entry"),
    "an entry with more": (_safe(_entry(evil=1)), "no plain entry"),
    "a shape that is text": (_safe(_entry(shape="1")), "no plain entry"),
    "a dtype that is a list": (_safe(_entry(dtype=["F32"])), "no plain entry"),
    "an unknown dtype": (_safe(_entry(dtype="F8_E4M3")), "dtype 'F8_E4M3'"),
    "a float as length": (_safe(_entry(shape=[1.0])), "not a natural number"),
    "true as length": (_safe(_entry(shape=[True])), "not a natural number"),
    "a negative length": (_safe(_entry(shape=[-1])), "not a natural number"),
    "lengths past 2^63": (_safe(_entry(shape=[1 << 63])), "not a natural number"),
    "65 dimensions": (_safe(_entry(shape=[1] * 65)), "65 dimensions"),
    "one offset": (_safe(_entry(data_offsets=[0])), "bytes where its shape says 4"),
    "offsets the wrong way": (_safe(_entry(data_offsets=[4, 0])), "-4 bytes where its shape says 4"),
    "a shape that lies": (_safe(_entry(shape=[1 << 62])), "where its shape says"),
    "a hole": (_safe(_entry(data_offsets=[4, 8]), b"\0" * 8), "a hole or an overlap before tensor 'a'"),
    "an overlap": (
        _safe(_entry() | {"b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}}, b"\0" * 6),
        "a hole or an overlap before tensor 'b'",
    ),
    "cut": (_safe(_entry(), b"\0"), "bytes where its header says"),
    "more data": (_safe(_entry(), b"\0" * 5), "bytes where its header says"),
    "metadata that is no text": (_safe({"__metadata__": {"a": 1}}, b""), "its metadata is not text"),
}


@pytest.mark.parametrize("name", BAD_SAFE)
def test_a_malformed_safetensors_cannot_be_compared(safetensors, name):
    bad, why = BAD_SAFE[name]
    good = safetensors({"a": ("F32", [1], b"\0" * 4)})
    for left, right, who in ((bad, good, "original"), (good, bad, "rerun")):
        found = compare_safe(left, right, abs=math.inf, rel=math.inf)
        assert not found.within
        assert found.problem.startswith(f"cannot compare: the {who} cannot be read as .safetensors: ")
        assert why in found.problem


@pytest.mark.parametrize(
    "spaces", ["'shape': (" + " " * 65_000, "'shape'" + " " * 65_000, "{" * 65_000, "," * 65_000]
)
def test_a_long_header_takes_no_long_time(spaces):
    bad = _npy(b"{'descr': '<f4', 'fortran_order': False, " + spaces.encode()[: (1 << 16) - 100])
    assert compare_npy(bad, bad).problem  # with a quadratic pattern this would take minutes


def test_a_lying_header_allocates_nothing():
    lies = [bad for bad, _ in (*BAD_NPY.values(), *BAD_SAFE.values())]
    tracemalloc.start()
    for bad in lies:
        compare_npy(bad, bad)
        compare_safe(bad, bad)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_a_large_file_is_read_in_blocks(npy):
    count = 4_000_000
    left = io.BytesIO(npy("<f4", (count,), b"\0" * 4 * count))
    right = io.BytesIO(npy("<f4", (count,), b"\0" * 4 * (count - 1) + struct.pack("<f", 1)))
    tracemalloc.start()
    found = compare_tensors("x.npy", left, right, EXACT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.worst is not None
    assert found.worst.index == (count - 1,)
    assert peak < 8 << 20, "the files hold 16 MB each"


class Broken(io.BytesIO):
    """Fails after its header, as a disk may."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 128:
            raise StoreError("disk error")
        return super().read(size)


class Shrinking(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        return b"" if self.tell() >= 128 else super().read(size)


@pytest.mark.parametrize(("kind", "why"), [(Broken, "disk error"), (Shrinking, "became shorter")])
def test_a_stream_that_fails_is_an_answer(npy, kind, why):
    data = npy("<f4", (100,), b"\0" * 400)
    found = compare_tensors("x.npy", io.BytesIO(data), kind(data), EXACT)
    assert not found.within
    assert why in found.problem


def _base(kind: str) -> bytes:
    if kind == ".npy":
        return NUMPY[1]
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "b": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [8, 12]},
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 12


MUTATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.integers(0, 400), st.integers(1, 255)),
        st.tuples(st.just("drop"), st.integers(0, 400), st.integers(1, 20)),
        st.tuples(st.just("insert"), st.integers(0, 400), st.binary(min_size=1, max_size=20)),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=tries(600), deadline=None)
@given(kind=st.sampled_from([".npy", ".safetensors"]), mutations=MUTATIONS)
def test_mutated_files_never_raise_and_never_pass_for_another(kind, mutations):
    good = _base(kind)
    bad = bytearray(good)
    for what, place, value in mutations:
        place %= len(bad) + 1
        if what == "flip" and place < len(bad):
            bad[place] ^= value
        elif what == "drop":
            del bad[place : place + value]
        elif what == "insert":
            bad[place:place] = value
    for left, right in ((good, bytes(bad)), (bytes(bad), good)):
        found = compare_tensors(f"x{kind}", io.BytesIO(left), io.BytesIO(right), EXACT)
        assert bool(found.problem) + (found.worst is not None) <= 1
        assert not found.within or found.worst is None, (
            "a value that differs is not within an exact tolerance"
        )
        found.model_dump_json()


NUMBERS = st.floats(width=32) | st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 1e-45, 3e38])


@settings(max_examples=tries(300), deadline=None)
@given(
    pairs=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=20),
    absolute=st.sampled_from([0.0, 1e-6, 0.5, 1e30]),
    rel=st.sampled_from([0.0, 1e-6, 0.5, 3.0]),
)
def test_elementwise_is_the_rule_of_the_spec_for_each_element(pairs, absolute, rel):
    left, right = ([pair[index] for pair in pairs] for index in (0, 1))
    header = _header(shape=f"({len(pairs)},)")
    found = compare_npy(
        _npy(header, array("f", left).tobytes()) if sys.byteorder == "little" else b"",
        _npy(header, array("f", right).tobytes()),
        abs=absolute,
        rel=rel,
    )

    def holds(a: float, b: float) -> bool:
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        if math.isinf(a) or math.isinf(b):
            return a == b
        return abs(a - b) <= absolute + rel * abs(a)

    assert not found.problem
    assert found.within is all(holds(a, b) for a, b in pairs)
    if not found.within:
        assert found.worst is not None
        assert not holds(*pairs[found.worst.index[0]])
