"""The log of a dead container, kept whole if it is small, else its two ends."""

from __future__ import annotations

import io
from collections import deque

from orchestrator.run.engine import Engine
from orchestrator.run.model import Log
from orchestrator.run.outputs import BlobSink

HEAD = 1 << 20  # bytes kept from the beginning
TAIL = 7 << 20  # bytes kept from the end


def read_log(engine: Engine, container: str, sink: BlobSink) -> Log:
    """Store what the engine still has of a log.

    The engine's files rotate at 16 MiB and one full file is always left, so whenever the engine itself
    has lost lines, what it hands over is longer than HEAD + TAIL and `truncated` is true.
    """
    head = bytearray()
    tail: deque[bytes] = deque()
    held = dropped = 0
    for chunk in engine.logs(container, follow=False):
        room = HEAD - len(head)
        head += chunk[:room]
        rest = chunk[room:]
        if rest:
            tail.append(rest)
            held += len(rest)
        while tail and held - len(tail[0]) >= TAIL:
            gone = tail.popleft()
            held -= len(gone)
            dropped += len(gone)
    marker = [b"\n[reprise: %d bytes or more were left out here]\n" % dropped] if dropped else []
    data = b"".join([bytes(head), *marker, *tail])
    return Log(digest=sink.add(io.BytesIO(data), len(data)), size=len(data), truncated=dropped > 0)
