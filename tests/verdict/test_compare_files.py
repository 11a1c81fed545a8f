from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.digest import CHUNK
from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.verdict.outputs.compare_files import first_difference, pair_outputs, tolerance_glob


class Drip(io.BytesIO):
    """A raw stream that hands over less than it is asked for."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(7, size if size is not None and size >= 0 else 7))


def plainly(a: bytes, b: bytes) -> int | None:
    for index, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return index
    return None if len(a) == len(b) else min(len(a), len(b))


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_first_differing_byte_of_any_two(a, b):
    assert first_difference(io.BytesIO(a), io.BytesIO(b)) == plainly(a, b)
    assert first_difference(Drip(a), io.BytesIO(b)) == plainly(a, b)


@given(st.binary(max_size=300), st.data())
def test_the_first_differing_byte_of_two_that_are_alike(a, data):
    b = bytearray(a)
    for place in data.draw(st.lists(st.integers(0, max(len(a) - 1, 0)), max_size=3)):
        if place < len(b):
            b[place] ^= data.draw(st.integers(1, 255))
    cut = bytes(b[: data.draw(st.integers(0, len(b)))])
    for other in (bytes(b), cut):
        assert first_difference(io.BytesIO(a), io.BytesIO(other)) == plainly(a, other)
        assert first_difference(io.BytesIO(other), io.BytesIO(a)) == plainly(a, other)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2 * CHUNK + 1), st.booleans())
def test_the_first_differing_byte_past_the_first_chunk(place, drip):
    a = bytes(2 * CHUNK + 2)
    b = bytearray(a)
    b[place] = 1
    b[-1] = 1
    assert first_difference(io.BytesIO(a), io.BytesIO(b)) == place
    assert first_difference(io.BytesIO(a), io.BytesIO(a[:place])) == place


def test_equal_streams_have_no_first_difference():
    data = bytes(3 * CHUNK)
    assert first_difference(io.BytesIO(data), io.BytesIO(data)) is None
    assert first_difference(io.BytesIO(b""), io.BytesIO(b"")) is None


def test_outputs_are_paired_by_path_and_sorted(blobs):
    a, b, c = blobs.kept("b", b"1"), blobs.kept("a", b"2"), blobs.kept("c", b"3")
    assert pair_outputs((a, b), (c, a)) == [("a", b, None), ("b", a, a), ("c", None, c)]
    assert pair_outputs((), ()) == []


@pytest.mark.parametrize(
    ("path", "globs", "expected"),
    [
        ("w.npy", ["*.npy"], "*.npy"),
        ("a/w.npy", ["*.npy"], None),
        ("a/b/w.npy", ["**/*.npy"], "**/*.npy"),
        ("w.npy", ["**/*.npy"], "**/*.npy"),
        ("w.npy", ["**"], "**"),
        ("a/w.npy", ["a/**"], "a/**"),
        ("b/w.npy", ["a/**"], None),
        ("w1.npy", ["w?.npy"], "w?.npy"),
        ("w.npy", ["w?.npy"], None),
        ("w+npy", ["w.npy"], None),
        ("w[1].npy", ["w[1].npy"], "w[1].npy"),
        ("w.npy", ["*.npy", "w.npy", "**/*.npy"], "w.npy"),
        ("w.npy", ["*", "*.npy", "**"], "*.npy"),
        ("wx", ["?x", "w?"], "?x"),
        ("w.npy", [], None),
        ("a\nb.npy", ["**"], "**"),
    ],
)
def test_the_longest_glob_decides(path, globs, expected):
    assert tolerance_glob(path, dict.fromkeys(globs, Tolerance())) == expected
