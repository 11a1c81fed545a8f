"""TensorBoard's event files, record by record."""

from __future__ import annotations

import struct

from orchestrator.run.metrics.event_files import _masked


def event_record(data: bytes) -> bytes:
    """These bytes as one record, whatever they are, with their length and true checksums."""
    head = struct.pack("<Q", len(data))
    return head + _masked(head) + data + _masked(data)
