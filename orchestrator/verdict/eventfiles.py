"""TensorBoard's event files of two runs: the same, but for the clock?

Their names hold the time, the host and the process id, the folder often the time as well, and each record the
moment at which it was written. Everything else is compared: steps, tags and values, images, histograms, texts
and graphs, to the byte.
"""

from __future__ import annotations

import struct
from itertools import zip_longest
from typing import NamedTuple

from orchestrator.errors import RepriseError
from orchestrator.run.eventfiles import Event, EventFileError, is_event_file, read_events, timeless
from orchestrator.run.model import Output, OutputStatus
from orchestrator.verdict.files import OpenBlob
from orchestrator.verdict.wording import count, number


class EventsCompared(NamedTuple):
    """`note`: what they hold if they are equal, else where they first differ. None: they cannot be read."""

    equal: bool
    note: str


def pair_event_files(original: tuple[Output, ...], rerun: tuple[Output, ...]) -> list[tuple[Output, Output]]:
    """Kept event files side by side: of folders with one name but for a moment in it, in order of name."""
    left, right = _by_folder(original), _by_folder(rerun)
    return [
        pair
        for folder in sorted(left.keys() & right.keys())
        if len(left[folder]) == len(right[folder])
        for pair in zip(left[folder], right[folder], strict=True)
    ]


def _by_folder(outputs: tuple[Output, ...]) -> dict[str, list[Output]]:
    found: dict[str, list[Output]] = {}
    for output in sorted(outputs, key=lambda item: item.path):
        if output.status is OutputStatus.KEPT and output.digest is not None and is_event_file(output.path):
            folder, _, name = output.path.rpartition("/")
            # `.v2` and other endings tell writers of one folder apart; the moment, host and pid do not.
            ending = name.rsplit(".", 1)[-1]
            kind = "" if ending.isdigit() else ending
            found.setdefault(f"{timeless(folder)}/{kind}", []).append(output)
    return found


def compare_event_files(original: Output, rerun: Output, open_blob: OpenBlob) -> EventsCompared | None:
    """None where one of them cannot be read whole: then only its bytes can be compared."""
    if original.digest is None or rerun.digest is None:
        return None
    events = 0
    tags: set[str] = set()
    try:
        with open_blob(original.digest) as left, open_blob(rerun.digest) as right:
            difference = None
            for a, b in zip_longest(read_events(left), read_events(right)):
                if difference is None and (a is None or b is None or a.payload != b.payload):
                    difference = _difference(a, b)
                # On to the end all the same: a file that cannot be read whole is no evidence.
                events += 1
                tags.update(scalar.tag for scalar in (a.scalars if a else ()))
    except (EventFileError, RepriseError, OSError, RecursionError):
        return None
    if difference is not None:
        return EventsCompared(False, difference)
    kinds = f", scalars of {count(len(tags), 'tag')}" if tags else ""
    return EventsCompared(True, f"{count(events, 'record')}{kinds}, equal")


def _difference(a: Event | None, b: Event | None) -> str:
    if a is None or b is None:
        known = a or b
        step = f" at step {known.step}" if known else ""
        return f"records {'only in the rerun' if a is None else 'only in the original'} from one{step} on"
    if a.step != b.step:
        return f"a record of step {a.step} in the original and of step {b.step} in the rerun"
    for one, other in zip(a.scalars, b.scalars, strict=False):
        if one.tag != other.tag:
            return f"step {a.step}: tag {one.tag!r} in the original and {other.tag!r} in the rerun"
        if struct.pack("<d", one.value) != struct.pack("<d", other.value):
            return f"{one.tag} at step {a.step}: {number(one.value)} vs {number(other.value)}"
    return f"a record of step {a.step} that holds no scalar, or not only scalars"
