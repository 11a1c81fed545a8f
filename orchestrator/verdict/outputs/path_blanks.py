"""Finds the parts of a path that differ in every run: a moment of that run, a random id.

A moment counts where it lies within its run, in some time zone: the date of a data set does not count. An id
is a UUID, or a word in which letters and digits alternate as nobody types them. Of two ids, `unlike` decides.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from orchestrator.record.run_record import RunRecord

MARGIN = timedelta(minutes=2)  # between the engine's clock and the job's, and for clocks that show minutes
MOST_DAYS = 400  # of one run that are tried for a time without a date
# From -12:00 to +14:00, UTC first: that is what a container's clock shows.
_ZONES = sorted((timedelta(minutes=15 * number) for number in range(-48, 57)), key=abs)
SHORTEST = 6  # characters of an id
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}

_DATE = r"(?P<y>20\d\d)(?P<s>[-_.]?)(?P<mo>\d\d)(?P=s)(?P<d>\d\d)"
_EUROPEAN = r"(?P<d>\d\d)(?P<s>[-_.])(?P<mo>\d\d)(?P=s)(?P<y>20\d\d)"
_NAMED = r"(?P<month>[A-Z][a-z]{2})[-_]?(?P<d>\d\d)(?:[-_](?P<y>20\d\d))?"
_TIME = r"(?P<h>\d\d)(?P<t>[-_:.h]?)(?P<mi>\d\d)(?:[-_:.m]?(?P<sec>\d\d)s?(?:[-_.,]?\d{3,9}(?![a-f]))?)?"
_EPOCH = r"(?P<epoch>1\d{9})(?:\d{3}|\d{6}|\d{9})?(?:\.\d{1,9})?"
# No digit stands beside a match: part of a longer number is no moment. The longer patterns come first.
_MOMENTS = [
    re.compile(rf"(?<!\d){pattern}(?!\d)")
    for pattern in (
        *(rf"{date}[T_ /.-]?{_TIME}(?:Z|[+-]\d\d:?\d\d(?![a-f]))?" for date in (_DATE, _EUROPEAN, _NAMED)),
        _EPOCH,
        _DATE,
        _EUROPEAN,
        r"(?P<h>\d\d)(?P<t>[-_:.])(?P<mi>\d\d)(?P=t)(?P<sec>\d\d)",
    )
]
_IDS = [
    re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-fA-F])"),
    re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{6,}(?![A-Za-z0-9])"),
    re.compile(r"(?<=mlruns/)\d{15,20}(?=/)"),
    re.compile(r"(?<=\btmp)[a-z0-9_]{8}(?![a-z0-9_])"),
    re.compile(r"(?<=run-\d{8}_\d{6}-)[a-z0-9]{8}(?=/|\Z)"),  # of wandb
    re.compile(r"(?<=/run-)[a-z0-9]{8}(?=\.wandb\Z)"),
]
_TURNS = re.compile(r"[A-Za-z]+|\d+")
_HEX = re.compile(r"(?:[0-9a-f]{6,}|[0-9A-F]{6,})\Z")
# A word of so many hexadecimal digits is an id anywhere; a shorter one is an id only beside a moment.
_LONG_HEX = 8


class Blank(NamedTuple):
    kind: str  # which of the patterns
    text: str
    moment: datetime | None  # what orders it; None: an id


class Blanked(NamedTuple):
    """A path with its moments and ids taken out: `key` is equal for paths that differ in nothing else."""

    key: str
    blanks: tuple[Blank, ...]

    @property
    def pieces(self) -> list[str]:
        """The texts around the blanks: one more than there are blanks."""
        return self.key.split("\0")[::2]

    @property
    def moments(self) -> tuple[datetime, ...]:
        return tuple(blank.moment for blank in self.blanks if blank.moment is not None)

    @property
    def ids(self) -> tuple[Blank, ...]:
        return tuple(blank for blank in self.blanks if blank.moment is None)


class Window(NamedTuple):
    """The time of a run."""

    start: datetime
    end: datetime

    def holds(self, moment: datetime) -> bool:
        return self.start - MARGIN <= moment <= self.end + MARGIN


def window_of(run: RunRecord) -> Window | None:
    if run.started_at is None or run.finished_at is None:
        return None
    return Window(run.started_at, run.finished_at)


def blanked(path: str, window: Window | None) -> Blanked:
    """`window` None: when the run took place is not known."""
    found: list[tuple[int, int, Blank]] = []
    moments = list(_moments(path, window))
    for start, end, blank in (*moments, *_random(path, moments)):
        if all(end <= other or start >= after for other, after, _ in found):
            found.append((start, end, blank))
    found.sort(key=lambda item: item[0])
    key, last = "", 0
    for start, end, blank in found:
        key += f"{path[last:start]}\0{blank.kind}\0"
        last = end
    return Blanked(key + path[last:], tuple(blank for _, _, blank in found))


def _moments(path: str, window: Window | None) -> Iterator[tuple[int, int, Blank]]:
    if window is None:
        return
    for number, pattern in enumerate(_MOMENTS):
        for match in pattern.finditer(path):
            moment = _moment(match.groupdict(), window)
            if moment is not None:
                yield match.start(), match.end(), Blank(f"moment {number}", match[0], moment)


def _moment(parts: dict[str, str | None], window: Window) -> datetime | None:
    """The moment as written, read as UTC; None where it lies in the run in no time zone."""
    if parts.get("epoch"):
        moment = datetime.fromtimestamp(int(str(parts["epoch"])), UTC)
        return moment if window.holds(moment) else None
    month = _MONTHS.get(str(parts["month"]).lower(), 0) if parts.get("month") else int(parts.get("mo") or 0)
    if parts.get("month") and not month:
        return None
    # A time without a date would fit in some zone too often: only UTC, a container's clock, is tried.
    for zone in _ZONES if parts.get("d") else _ZONES[:1]:
        for day in _days(window, zone):
            written = (int(parts.get("y") or day.year), month or day.month, int(parts.get("d") or day.day))
            if written == (day.year, day.month, day.day):
                written_at = _on(day, parts)
                timed = parts.get("h") is not None
                if written_at is not None and _fits(written_at - zone, window, timed=timed):
                    return written_at
    return None


def _days(window: Window, zone: timedelta) -> list[datetime]:
    """The days of the run in that zone's calendar."""
    first, last = (window.start - MARGIN + zone), (window.end + MARGIN + zone)
    start = first.replace(hour=0, minute=0, second=0, microsecond=0)
    return [start + timedelta(days=number) for number in range(min((last - start).days, MOST_DAYS) + 1)]


def _on(day: datetime, parts: dict[str, str | None]) -> datetime | None:
    hour, minute, second = (int(parts.get(name) or 0) for name in ("h", "mi", "sec"))
    if hour > 23 or minute > 59 or second > 59:
        return None
    return day.replace(hour=hour, minute=minute, second=second)


def _fits(moment: datetime, window: Window, *, timed: bool) -> bool:
    return window.holds(moment) if timed else moment <= window.end + MARGIN


def _random(path: str, moments: list[tuple[int, int, Blank]]) -> Iterator[tuple[int, int, Blank]]:
    ends = {at + 1 for _, at, _ in moments}
    starts = {at - 1 for at, _, _ in moments}
    for number, pattern in enumerate(_IDS):
        for match in pattern.finditer(path):
            beside = _beside(path, match, ends, starts)
            if number != 1 or scrambled(match[0]) or (beside and _hexadecimal(match[0])):
                kind = f"id {number} of {len(match[0])}"
                yield match.start(), match.end(), Blank(kind, match[0], None)


def _beside(path: str, match: re.Match[str], ends: set[int], starts: set[int]) -> bool:
    """Whether one character, no slash, stands between the word and a moment: `20261129_135026-9656eb`."""
    return (match.start() in ends and path[match.start() - 1] != "/") or (
        match.end() in starts and path[match.end()] != "/"
    )


def _hexadecimal(word: str) -> bool:
    return mixed(word) and _HEX.match(word) is not None


def scrambled(word: str) -> bool:
    """Whether letters and digits alternate as nobody types: `k3x9a2b1`, not `resnet50` or `epoch1step20`."""
    if len(word) >= _LONG_HEX and _hexadecimal(word):
        return True
    turns = _TURNS.findall(word)
    if len(word) < SHORTEST or len(turns) < 3:
        return False
    return all(len(turn) < 3 or turn.isdigit() for turn in turns)


def mixed(word: str) -> bool:
    """Of letters and digits."""
    return len(_TURNS.findall(word)) > 1


def unlike(one: str, other: str) -> bool:
    """Whether two ids have no more in common than chance gives; a counter that grew by one has more."""
    if len(one) != len(other):
        return False
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a.isalnum() or b.isalnum()]
    only_numbers = all(a == b or (a.isdigit() and b.isdigit()) for a, b in pairs)
    letters = any(char.isalpha() for char in one + other)
    return 2 * sum(a == b for a, b in pairs) < len(pairs) and not (only_numbers and letters)
