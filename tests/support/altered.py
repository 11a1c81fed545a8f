"""Bytes of which one, or a few, are others."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st


def flipped(data: bytes, place: int, mask: int = 1) -> bytes:
    """With these bits of one byte turned over; a negative place counts from the end."""
    changed = bytearray(data)
    changed[place] ^= mask
    return bytes(changed)


def flip_bit(data: bytes, bit: int) -> bytes:
    return flipped(data, bit // 8, 1 << bit % 8)


def flip_file(path: Path, place: int = 0) -> None:
    """Whatever its mode is, which stays."""
    mode = path.stat().st_mode
    path.chmod(mode | 0o200)
    path.write_bytes(flipped(path.read_bytes(), place))
    path.chmod(mode)


def with_other_bytes(whole: bytes, most: int) -> st.SearchStrategy[bytes]:
    """These bytes, of which up to `most` are others."""

    def changed(changes: list[tuple[int, int]]) -> bytes:
        data = bytearray(whole)
        for place, value in changes:
            data[place] = value
        return bytes(data)

    change = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255))
    return st.lists(change, min_size=1, max_size=most).map(changed)
