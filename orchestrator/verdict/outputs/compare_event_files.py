"""Compares TensorBoard's event files of two runs without the clocks in them.

Their names hold the time, the host and the process id, the folder often the time as well, and each record the
moment at which it was written. Everything else is compared: steps, tags and values, images, histograms, texts
and graphs, byte for byte, except the order of protobuf's maps (event_records.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import BinaryIO, NamedTuple

from orchestrator.digest import Digest
from orchestrator.errors import RepriseError
from orchestrator.message_wording import count
from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.run.metrics.event_files import (
    EventFileError,
    EventRecord,
    is_event_file,
    read_events,
    timeless,
)
from orchestrator.verdict.outputs.compare_files import OpenBlob
from orchestrator.verdict.outputs.event_records import settled
from orchestrator.verdict.tolerance import bits
from orchestrator.verdict.verdict_wording import number


@dataclass(frozen=True)
class Excuses:
    """What the comparison of metrics excuses: (name, original, rerun) within a tolerance; volatile names."""

    tolerated: frozenset[tuple[str, bytes, bytes]] = frozenset()
    volatile: frozenset[str] = frozenset()

    def names(self, folder: str, tag: str) -> list[str]:
        """The metrics that a tag may be, in a folder of event files: `loss`, or `val/loss` in `runs/val`."""
        known = {name for name, _, _ in self.tolerated} | self.volatile
        return [
            name
            for name in known
            if name == tag
            or (name.endswith(f"/{tag}") and f"/{folder}".endswith(f"/{name.removesuffix(f'/{tag}')}"))
        ]


NO_EXCUSES = Excuses()


class EventsCompared(NamedTuple):
    """`note`: what they hold if they are equal, else where they first differ. None: they cannot be read."""

    equal: bool
    note: str
    excused: bool = False  # only scalars differ, and each by what a metric's tolerance excuses


def pair_event_files(original: tuple[Output, ...], rerun: tuple[Output, ...]) -> list[tuple[Output, Output]]:
    """Kept event files in pairs: by the folder's name without moments, then in the order of their names."""
    left, right = _by_folder(original), _by_folder(rerun)
    return [
        pair
        for folder in sorted(left.keys() & right.keys())
        if len(left[folder]) == len(right[folder])
        for pair in zip(left[folder], right[folder], strict=True)
    ]


def _by_folder(outputs: tuple[Output, ...]) -> dict[str, list[Output]]:
    found: dict[str, list[Output]] = {}
    for output in sorted(outputs, key=lambda item: _natural(item.path)):
        if output.status is OutputStatus.KEPT and output.digest is not None and is_event_file(output.path):
            folder, _, name = output.path.rpartition("/")
            # `.v2` and other endings tell writers of one folder apart; the moment, host and pid do not.
            ending = name.rsplit(".", 1)[-1]
            kind = "" if ending.isdigit() else ending
            found.setdefault(f"{timeless(folder)}/{kind}", []).append(output)
    return found


def _natural(path: str) -> tuple[object, ...]:
    """Orders numbers in a name by value: writer 10 comes after writer 9."""
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r"(\d{1,20})", path))


def compare_event_files(
    original: Output, rerun: Output, open_blob: OpenBlob, excuses: Excuses = NO_EXCUSES
) -> EventsCompared | None:
    """None where one of them cannot be read to its end: then only the bytes can be compared."""
    events = 0
    tags: set[str] = set()
    scalars = _Scalars(excuses, timeless(original.path.rpartition("/")[0]))
    excused = True
    try:
        with _checked(original.digest, open_blob) as left, _checked(rerun.digest, open_blob) as right:
            difference = None
            for a, b in zip_longest(read_events(left), read_events(right)):
                if a is None or b is None:
                    difference, excused = difference or _difference(a, b), False
                elif not _same(a, b) and not scalars.volatile(a, b):
                    difference = difference or _difference(a, b)
                    excused = excused and scalars.near(a, b)
                # Read on to the end: a file that cannot be read to its end is no evidence.
                events += 1
                tags.update(scalar.tag for scalar in (a.scalars if a else ()))
    except (EventFileError, RepriseError, OSError, RecursionError):
        return None
    if difference is not None:
        note = f"its scalars are within the tolerances of metrics; {difference}" if excused else difference
        return EventsCompared(False, note, excused)
    kinds = f", scalars of {count(len(tags), 'tag')}" if tags else ""
    but = f" but for volatile {', '.join(sorted(scalars.left_out))}" if scalars.left_out else ""
    return EventsCompared(True, f"{count(events, 'record')}{kinds}, equal{but}")


def _checked(digest: Digest | None, open_blob: OpenBlob) -> BinaryIO:
    """Open a blob whose bytes have its digest: damaged bytes say nothing of the run."""
    if digest is None:
        raise EventFileError("no digest is recorded")
    with open_blob(digest) as stream:
        if Digest.of_stream(stream) != digest:
            raise EventFileError("its stored bytes are damaged")
    return open_blob(digest)


def _same(a: EventRecord, b: EventRecord) -> bool:
    return a.payload == b.payload or settled(a) == settled(b)


class _Scalars:
    """Records that differ in nothing but scalars, and whether each of these is excused."""

    def __init__(self, excuses: Excuses, folder: str) -> None:
        self._excuses, self._folder = excuses, folder
        self._names: dict[str, list[str]] = {}
        self.left_out: set[str] = set()  # volatile tags that differ

    def volatile(self, a: EventRecord, b: EventRecord) -> bool:
        """Whether only scalars of volatile metrics differ."""
        tags = {tag for tag, one, other in self._differing(a, b) if one != other}
        volatile = bool(tags) and all(self._is_volatile(tag) for tag in tags)
        self.left_out |= tags if volatile else set()
        return volatile

    def near(self, a: EventRecord, b: EventRecord) -> bool:
        """Whether only scalars differ, each by what its metric's tolerance excuses, or a volatile one."""
        differing = self._differing(a, b)
        return bool(differing) and all(
            one == other
            or self._is_volatile(tag)
            or any((name, one, other) in self._excuses.tolerated for name in self._named(tag))
            for tag, one, other in differing
        )

    def _differing(self, a: EventRecord, b: EventRecord) -> list[tuple[str, bytes, bytes]]:
        """(tag, original, rerun) of all scalars; nothing where the records differ in more than those."""
        if settled(a, scalars=False) != settled(b, scalars=False) or len(a.scalars) != len(b.scalars):
            return []
        pairs = list(zip(a.scalars, b.scalars, strict=True))
        if any(one.tag != other.tag for one, other in pairs):
            return []
        return [(one.tag, bits(one.value), bits(other.value)) for one, other in pairs]

    def _is_volatile(self, tag: str) -> bool:
        return any(name in self._excuses.volatile for name in self._named(tag))

    def _named(self, tag: str) -> list[str]:
        if tag not in self._names:
            self._names[tag] = self._excuses.names(self._folder, tag)
        return self._names[tag]


def _difference(a: EventRecord | None, b: EventRecord | None) -> str:
    if a is None or b is None:
        known = a or b
        step = f" at step {known.step}" if known else ""
        return f"records {'only in the rerun' if a is None else 'only in the original'} from one{step} on"
    if a.step != b.step:
        return f"a record of step {a.step} in the original and of step {b.step} in the rerun"
    for one, other in zip(a.scalars, b.scalars, strict=False):
        if one.tag != other.tag:
            return f"step {a.step}: tag {one.tag!r} in the original and {other.tag!r} in the rerun"
        if bits(one.value) != bits(other.value):
            return f"{one.tag} at step {a.step}: {number(one.value)} vs {number(other.value)}"
    return f"a record of step {a.step} that holds no scalar, or not only scalars"
