"""Python processes of a job that ended by an uncaught exception, as the runtime reported them.

The job can write these reports, and as many as it likes: few are read, and each is small.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from orchestrator.run.collect.ending_hints import hint_of
from orchestrator.run.collect.walk_tree import read_small, report_names
from orchestrator.spec.shown_names import in_one_line
from orchestrator.value import Value

MAX_READ = 50  # reports; those of the lowest process numbers
MAX_SHOWN = 10  # notes; equal ones count once
MAX_BYTES = 1 << 16  # of one report; the runtime writes 4 KiB at most, plus the command line
MAX_TEXT = 300  # characters of an error, and of a command line

_NAME = re.compile(r"ended-([0-9]{1,10})\.json\Z")


class Uncaught(Value):
    notes: tuple[str, ...] = ()
    hint: str | None = None  # what the base or the job lacks, where one of the errors says so


def read_uncaught(folder: Path, *, network: bool = True) -> Uncaught:
    """What a job's processes died of, as notes. Nothing that a report contains raises an error.

    `network`: the job could reach one.
    """
    names = sorted(report_names(folder, _NAME)[0], key=lambda name: int(name[6:-5]))
    said: Counter[str] = Counter()
    hint = None
    for name in names[:MAX_READ]:
        try:
            data = read_small(folder, name, MAX_BYTES)
            value = json.loads(data) if data is not None else None
        except (OSError, ValueError, RecursionError):
            value = None
        text, error = _told(value)
        said[text] += 1
        hint = hint_of(error, network=network) or hint
    notes = [f"{text} ({count} times)" if count > 1 else text for text, count in said.items()][:MAX_SHOWN]
    left = len(names) - sum(list(said.values())[:MAX_SHOWN])
    if left > 0:
        notes.append(f"{left} more Python processes ended by an uncaught exception")
    return Uncaught(notes=tuple(notes), hint=hint)


def _told(value: Any) -> tuple[str, str]:
    """A note, and the error in it."""
    fields = value if isinstance(value, dict) else {}
    error, at, argv = (fields.get(name) for name in ("error", "at", "argv"))
    error = _clean(error) if isinstance(error, str) and error else "its report cannot be read"
    words = [word for word in argv if isinstance(word, str)][:20] if isinstance(argv, list) else []
    text = f"a Python process ended by an uncaught exception: {error}"
    if isinstance(at, str) and at:
        text += f" at {_clean(at)}"
    return f"{text} ({_clean(' '.join(words))})" if words else text, error


def _clean(text: str) -> str:
    return in_one_line(f"{text[:MAX_TEXT]}…" if len(text) > MAX_TEXT else text)
