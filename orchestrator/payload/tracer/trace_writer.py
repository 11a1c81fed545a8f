"""The file of a trace: lines wait here until the values of their digests are fetched, then are written.

One JSON object a line, ASCII (verdict/traces/trace_lines.py reads it): a header, tables of named tensors,
events, and a last line that says how it ended. The file is `REPRISE_REPORT/trace-<pid>.jsonl`, made
before the first loss or step: a process that is killed early leaves one, too. A fork writes its own.

Budget: a line's size is computed from its counts of tensors, not from its real bytes, so that two runs of one
program thin out at the same place. Past DETAIL bytes an event carries one digest over
its digests ("c"); past LIMIT bytes only the events of every 100th step are kept, losses included.
"""

# As in report_writer.py, without pathlib.
# ruff: noqa: PTH110, PTH118

from __future__ import annotations

import os

from .. import report_writer
from ..report_writer import encode

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

DETAIL = 64 << 20  # bytes
LIMIT = 256 << 20  # bytes
SPARSE = 100  # past LIMIT, one step of so many is kept
PENDING = 8192  # digests kept on the device before they are fetched; about 1 MB of small tensors
NONE = "-" * 16  # where there is no digest
MASK = (1 << 64) - 1


class EventLine:
    """An event whose digests may still be on the device.

    `head` is its JSON up to the digests, without the closing brace. `names` are the [name, description] of
    each digest (form "v"), or None where a table names them (form "d"). `digests` are 0-dim int64 tensors,
    hex strings, or None. `values` are numbers, None, or 0-dim int64 tensors of a float64's bits, written as
    "x".
    """

    __slots__ = ("digests", "head", "names", "short", "values")

    def __init__(
        self,
        head: str,
        names: Sequence[tuple[str, str]] | None,
        digests: Sequence[Any],
        values: Sequence[Any] | None,
        short: bool,
    ) -> None:
        self.head = head
        self.names = names
        self.digests = list(digests)
        self.values = values
        self.short = short

    def text(self) -> str:
        """The line as text. Every digest must be a string by now, and every value a number."""
        if self.names is None:
            body = f'"d":"{"".join(self.digests)}"'
        else:
            pairs = zip(self.names, self.digests)  # noqa: B905 - not in Python 3.9
            body = f'"v":{encode([(name, what, digest) for (name, what), digest in pairs])}'
        if self.short:
            body = f'"c":"{hex16(body.encode("ascii"))}"'
        values = "" if self.values is None else f',"x":{encode(list(self.values))}'
        return f"{self.head},{body}{values}}}\n"

    def cost(self) -> int:
        """An estimate of the line's bytes, the same in every run."""
        if self.short:
            return 80
        if self.names is None:
            return 50 + 16 * len(self.digests)
        return 60 + sum(26 + len(name) + len(what) for name, what in self.names)


def hex16(data: bytes) -> str:
    """16 hex digits of BLAKE2b."""
    import hashlib

    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _on_device(value: Any) -> bool:
    return value is not None and type(value) not in (str, int, float)


def _float(bits: int) -> float:
    import struct

    value: float = struct.unpack("<d", (bits & MASK).to_bytes(8, "little"))[0]
    return value


class TraceWriter:
    """Lines in their order, fetched and written together.

    `fetch` brings a list of 0-dim int64 tensors to the host as Python ints, in one copy per device.
    `header` gives the first line's fields when the file is made.
    """

    def __init__(
        self, fetch: Callable[[list[Any]], list[int]], header: Callable[[], dict[str, object]]
    ) -> None:
        self.fetch = fetch
        self.header = header
        self.events = 0
        self.others = False  # whether other threads than the watched one trained
        self.size = 0  # bytes, as estimated
        self.path = ""
        self.descriptor = -1
        self.lines: list[EventLine | str] = []
        self.waiting = 0  # digests in `lines`

    def wanted(self, step: int) -> bool:
        """Whether events of this step still fit the budget."""
        return self.size < LIMIT or step % SPARSE == 0

    def table(self, value: dict[str, object]) -> None:
        text = encode(value) + "\n"
        self.size += len(text)
        self.lines.append(text)

    def event(
        self,
        head: str,
        names: Sequence[tuple[str, str]] | None,
        digests: Sequence[Any],
        values: Sequence[Any] | None = None,
    ) -> None:
        line = EventLine(head, names, digests, values, self.size >= DETAIL)
        self.size += line.cost()
        self.events += 1
        self.waiting += len(line.digests)
        self.lines.append(line)

    def started(self) -> bool:
        """Whether a file was begun and needs a last line."""
        return bool(self.lines or self.path)

    def full(self) -> bool:
        return self.waiting >= PENDING

    def begin(self) -> None:
        """Make the file with its header: a process that is killed before the first flush has trained, too."""
        if not self.path:
            self._write("")

    def flush(self) -> None:
        """Fetch what is pending, in one copy, and write. Raises OSError where the folder refuses it."""
        lines, self.lines, self.waiting = self.lines, [], 0
        if not lines:
            return
        self._resolve([line for line in lines if isinstance(line, EventLine)])
        self._write("".join(line if isinstance(line, str) else line.text() for line in lines))

    def _resolve(self, lines: list[EventLine]) -> None:
        waiting = [one for line in lines for one in (*line.digests, *(line.values or ())) if _on_device(one)]
        numbers = iter(self.fetch(waiting)) if waiting else iter(())
        for line in lines:
            line.digests = [
                NONE if one is None else f"{next(numbers) & MASK:016x}" if _on_device(one) else one
                for one in line.digests
            ]
            if line.values is not None:
                line.values = [_float(next(numbers)) if _on_device(one) else one for one in line.values]

    def end(self, steps: int) -> None:
        """Write the last line of a complete trace."""
        self.flush()
        last: dict[str, object] = {"end": True, "steps": steps, "events": self.events}
        if self.others:
            last["other_threads"] = True
        self._write(encode(last) + "\n")
        if not os.path.exists(self.path):
            raise FileNotFoundError(f"{self.path} was removed while it was written")
        self.close()

    def broken(self, why: str, steps: int) -> None:
        """Write why the trace broke, as its last line. Pending lines could not be written and are lost."""
        self.lines, self.waiting = [], 0
        self._write(encode({"broken": why, "steps": steps}) + "\n")
        self.close()

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _write(self, text: str) -> None:
        if self.descriptor < 0:
            self.path = os.path.join(report_writer.FOLDER, f"trace-{os.getpid()}.jsonl")
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self.descriptor = os.open(self.path, flags, 0o644)
            if os.fstat(self.descriptor).st_size == 0:
                text = encode(self.header()) + "\n" + text
        data = text.encode("ascii")
        while data:
            data = data[os.write(self.descriptor, data) :]
