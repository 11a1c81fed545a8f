"""The digest of a tensor: 64 bits of its bytes, the same on a CPU and on a GPU, at any number of threads.

The specification (all numbers mod 2^64; `>>` keeps the sign, `>>>` fills with zeros; G = 0x9E3779B97F4A7C15):

1.  The bytes of the tensor in row-major order, little endian, are L bytes; conjugation and negation that
    torch has only noted are carried out first. Zero bytes fill them up to a multiple of 2048. They are rows
    of 256 signed 64-bit words x[0..255]; an empty tensor has no row.
2.  mix(z): z ^= z >>> 30; z *= 0xBF58476D1CE4E5B9; z ^= z >>> 27; z *= 0x94D049BB133111EB; z ^= z >>> 31.
    (It is the last step of splitmix64.) Weights: A[i] = mix((i + 1) * G) | 1, for i = 0..255.
3.  The sum of row r = 0, 1, ...: s[r] = sum over i of A[i] * fold(x[i]). fold(x) adds x >> 35 to x in two
    halves: each 32 bits of the one to the same 32 bits of the other, mod 2^32, no carry between the halves.
4.  The digest: mix(sum over r of mix(s[r] + (r + 1) * G)  +  (L + 1) * 0xD1B54A32D192ED03).

Dtype and shape are not in it: `describe` says them, to be recorded beside it.

Why so. Sums of integers do not depend on their order. In a product mod 2^64 the high bits of a word reach few
bits of the result (the sign of an fp64, or of every second fp32, only one); hence fold, *before* the product:
each bit then reaches at least 30 bits of the row's sum. Folding after the product instead (m = x * W;
m ^= m >>> 32) loses half of all pairs of flipped signs: each changes the sum by 2^63 and by 2^31, up or down.
With these weights one or two flipped bits of a row always change its sum, and one changed row always changes
the digest (a test tries all pairs). Other changes are missed with a probability of 2^-64; at worst 2^-30,
where they touch only the high bits of several words of one row. It is not a cryptographic hash: it finds
accidents, it does not stop a forger.

Cost on a CPU: three passes, the first over memory, two over a buffer in the L2 cache. The first two use
vector instructions (13 GB/s a core each, AVX2 or AVX-512). Torch has vector instructions neither for products
of int64 nor for their sums (it multiplies by `alpha`), so int32 halves are added. Measured by
benchmarks/tensor_digest.py.
"""

from __future__ import annotations

ROW = 2048  # bytes
WORDS = ROW // 8
SHIFT = 35
GOLDEN = 0x9E3779B97F4A7C15
LENGTH = 0xD1B54A32D192ED03
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))  # shift, then factor
MASK = (1 << 64) - 1


def signed(number: int) -> int:
    """The number mod 2^64 as torch holds it in an int64."""
    number &= MASK
    return number - (1 << 64) if number >> 63 else number


def mixed(number: int) -> int:
    """mix() of the specification."""
    number &= MASK
    for shift, factor in MIX:
        number = (number ^ (number >> shift)) * factor & MASK
    return number


def weights() -> list[int]:
    """A[0..255], unsigned."""
    return [mixed((i + 1) * GOLDEN) | 1 for i in range(WORDS)]
