"""The digest of a tensor, written from the specification alone, in plain Python: slow and obvious."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

M = 1 << 64
G = 0x9E3779B97F4A7C15


def mix(z: int) -> int:
    z %= M
    z ^= z >> 30
    z = z * 0xBF58476D1CE4E5B9 % M
    z ^= z >> 27
    z = z * 0x94D049BB133111EB % M
    return z ^ (z >> 31)


A = [mix((i + 1) * G) | 1 for i in range(256)]


def fold(x: int) -> int:
    """x: a signed word; Python's >> keeps the sign and & sees two's complement."""
    y = x >> 35
    low = ((x & 0xFFFFFFFF) + (y & 0xFFFFFFFF)) % (1 << 32)
    high = ((x >> 32 & 0xFFFFFFFF) + (y >> 32 & 0xFFFFFFFF)) % (1 << 32)
    return high << 32 | low


def row_sum(row: bytes) -> int:
    return sum(a * fold(x) for a, x in zip(A, struct.unpack("<256q", row), strict=True)) % M


def digest(data: bytes) -> int:
    total = 0
    for r in range((len(data) + 2047) // 2048):
        row = data[r * 2048 : (r + 1) * 2048].ljust(2048, b"\0")
        total += mix(row_sum(row) + (r + 1) * G)
    return mix(total + (len(data) + 1) * 0xD1B54A32D192ED03)


def content(tensor: Any) -> bytes:
    """The bytes of a tensor in row-major order, one element after the other."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return ctypes.string_at(plain.data_ptr(), plain.nbytes) if plain.nbytes else b""
