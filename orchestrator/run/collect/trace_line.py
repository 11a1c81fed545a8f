"""What a line of a trace says without being parsed: for those that read millions, live or at the end."""

from __future__ import annotations

import re

LONGEST_LINE = 16 << 20  # bytes; the digests of 100,000 tensors are 1.6 MB, their table 6 MB
HEX = 16  # digits of a digest
EVENT_HEAD = re.compile(rb'\{"e":"([a-z]{1,20})","s":([0-9]{1,18})[,}]')  # its kind, and its step


def tensors_in(line: bytes) -> int:
    """How many digests an event holds."""
    start = line.find(b'"d":"')
    if start >= 0:
        end = line.find(b'"', start + 5)
        return max(end - start - 5, 0) // HEX
    if b'"v":[[' in line:
        return line.count(b'"],[') + 1
    return 1 if b'"c":"' in line else 0
