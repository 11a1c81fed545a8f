"""Finds the clock as the reason for a difference of files, where it is proved.

Proved means: at the first differing byte both files hold a time, each within its own run.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from orchestrator.errors import RepriseError
from orchestrator.record.run_record import RunRecord
from orchestrator.verdict.outputs.compare_files import OpenBlob
from orchestrator.verdict.verdict_model import FileDifference

CLOCK = "the clock: "
"""Begins the note of a file that differs first in a time."""

WINDOW = 64  # bytes before and after the first differing byte that are looked at
_EPOCH_MARGIN = timedelta(minutes=5)  # between the engine's clock and the job's
_LOCAL_MARGIN = timedelta(hours=15)  # a written date names no zone

_DATE = re.compile(rb"(\d{4})[-/](\d\d)[-/](\d\d)[T _-](\d\d)[:.-](\d\d)(?:[:.-](\d\d))?")
_COMPACT = re.compile(rb"(?<!\d)(\d{4})(\d\d)(\d\d)[T_-]?(\d\d)(\d\d)(\d\d)(?!\d)")
_EPOCH = re.compile(rb"(?<![\d.])(\d{10})(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?(?![\d.])")
_GZIP = b"\x1f\x8b"


def clock_note(difference: FileDifference, original: RunRecord, rerun: RunRecord, open_blob: OpenBlob) -> str:
    """`the clock: 2026-01-01 10:00:03 vs 2026-01-02 09:30:00`; "" where that is not proved."""
    if difference.first_byte is None or difference.original is None or difference.rerun is None:
        return ""
    found = []
    for run, digest in ((original, difference.original), (rerun, difference.rerun)):
        try:
            with open_blob(digest) as stream:
                begin = stream.read(8)
                start = max(difference.first_byte - WINDOW, 0)
                stream.seek(start)
                data = stream.read(2 * WINDOW)
        except (RepriseError, OSError):
            return ""
        moment = _gzip_time(begin, difference.first_byte, run) or _time_at(
            data, difference.first_byte - start, run
        )
        if moment is None:
            return ""
        found.append(f"{moment:%Y-%m-%d %H:%M:%S}")
    return f"{CLOCK}{' vs '.join(found)}"


def _gzip_time(begin: bytes, place: int, run: RunRecord) -> datetime | None:
    """A gzip file holds the time of its making in bytes 4 to 7."""
    if not begin.startswith(_GZIP) or not 4 <= place < 8 or len(begin) < 8:
        return None
    moment = datetime.fromtimestamp(int.from_bytes(begin[4:8], "little"), UTC)
    return moment if _within(moment, run, _EPOCH_MARGIN) else None


def _time_at(data: bytes, place: int, run: RunRecord) -> datetime | None:
    """A time whose text covers the place, and lies within the run."""
    for pattern, margin in ((_DATE, _LOCAL_MARGIN), (_COMPACT, _LOCAL_MARGIN), (_EPOCH, _EPOCH_MARGIN)):
        for match in pattern.finditer(data):
            if not match.start() <= place <= match.end():
                continue
            moment = _moment(match)
            if moment is not None and _within(moment, run, margin):
                return moment
    return None


def _moment(match: re.Match[bytes]) -> datetime | None:
    parts = [int(group or 0) for group in match.groups()]
    try:
        if len(parts) == 1:
            return datetime.fromtimestamp(parts[0], UTC)
        return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]
    except (ValueError, OverflowError):
        return None


def _within(moment: datetime, run: RunRecord, margin: timedelta) -> bool:
    if run.started_at is None or run.finished_at is None:
        return False
    return run.started_at - margin <= moment <= run.finished_at + margin
