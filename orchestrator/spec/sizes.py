"""Sizes and times as people type them, in job files and on the command line."""

from __future__ import annotations

import math
import re

_SECONDS = {"w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}
_NUMBER = re.compile(r"\d+(?:\.\d+)?\Z", re.ASCII)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([wdhms])\s*", re.ASCII)
_SIZE = re.compile(r"(\d+)(\.\d+)?\s*([kmgtp])?(?:i?b)?\Z", re.ASCII | re.IGNORECASE)


def parse_span(text: str) -> float:
    """`90`, `90s`, `30m`, `1h30m`, `1d`, `1w` -> seconds. Raises ValueError for anything else."""
    stripped = text.strip()
    seconds = float(stripped) if _NUMBER.match(stripped) else _sum_of_parts(stripped)
    if not math.isfinite(seconds):
        raise ValueError(text[:100])
    return seconds


def _sum_of_parts(text: str) -> float:
    """`1h30m`: each unit once, the larger first."""
    seconds, position, left = 0.0, 0, "wdhms"
    while position < len(text):
        part = _SPAN.match(text, position)
        if part is None or part.group(2) not in left:
            raise ValueError(text[:100])
        left = left[left.index(part.group(2)) + 1 :]
        seconds += float(part.group(1)) * _SECONDS[part.group(2)]
        position = part.end()
    if position == 0:
        raise ValueError(text[:100])
    return seconds


def parse_size(text: str) -> int:
    """`1024`, `512MiB`, `8GiB`, `8G`, `1GB` -> bytes; as Docker does, `G` is `GiB`, and so is `GB`.

    Raises ValueError for anything else, and for 2^63 bytes and more.
    """
    size = _SIZE.match(text.strip())
    if not size or len(size.group(1)) > 19:
        raise ValueError(text[:100])
    unit: int = 1024 ** " kmgtp".index((size.group(3) or " ").lower())
    count = int(size.group(1)) * unit + int(float(size.group(2) or 0) * unit)
    if count >= 1 << 63:
        raise ValueError(text[:100])
    return count
