"""What "the same number" and "near enough" mean, in one place."""

from __future__ import annotations

import math
import struct

from orchestrator.spec.jobfile.job_spec import Tolerance


def same_bits(a: float, b: float) -> bool:
    """Bit for bit as float64, so 0.0 is not -0.0; every NaN is the same NaN."""
    return bits(a) == bits(b)


def bits(value: float) -> bytes:
    return struct.pack("<d", math.nan if math.isnan(value) else value)


def within(original: float, rerun: float, tolerance: Tolerance) -> bool:
    """|a - b| <= abs + rel * |a|, where a is the original.

    NaN is within nothing but NaN, an infinity within nothing but itself, whatever the tolerance.
    """
    if original == rerun:
        return True
    if not (math.isfinite(original) and math.isfinite(rerun)):
        return math.isnan(original) and math.isnan(rerun)
    distance, size, absolute = abs(original - rerun), abs(original), tolerance.abs
    if math.isinf(distance):  # the difference of two finite numbers overflowed: judge a quarter of everything
        distance, size, absolute = abs(original / 4 - rerun / 4), size / 4, absolute / 4
    return distance <= absolute + (tolerance.rel * size if size else 0.0)
