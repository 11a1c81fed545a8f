"""The log of a dead container, kept whole if it is small, else its two ends."""

from __future__ import annotations

import io
from collections import deque

from orchestrator.run.engine import Engine
from orchestrator.run.model import Log
from orchestrator.run.outputs import BlobSink

HEAD = 1 << 20  # bytes kept from the beginning
TAIL = 7 << 20  # bytes kept from the end
FULL = 15_900_000  # bytes of an engine's log file that may have been rotated: 16m, less its last entry
ENTRY = 27  # bytes that the engine's driver `local` stores with each line (Engine 20.10: 27)


def read_log(engine: Engine, container: str, sink: BlobSink) -> Log:
    """Store what the engine still has of a log.

    The engine's files rotate at 16 MB and one full file is always left. With each line it stores 27 bytes
    of its own, so three million lines of one character, 6 MB, lost 4.4 MB of them: whether lines may be
    gone is told by the size as stored. A log between one file and two is called truncated although it
    may be whole.
    """
    head = bytearray()
    tail: deque[bytes] = deque()
    held = dropped = stored = 0
    for chunk in engine.logs(container, follow=False):
        stored += len(chunk) + ENTRY * max(1, chunk.count(b"\n"))
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
    truncated = dropped > 0 or stored >= FULL
    return Log(digest=sink.add(io.BytesIO(data), len(data)), size=len(data), truncated=truncated)
