"""A series that grows without end, held in a bounded number of buckets of least and greatest value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestrator.run.live.live_state import LiveSeries

MOST = 100  # buckets that are shown; twice as many are held at most


@dataclass
class _Bucket:
    """Points that follow each other."""

    first: int
    last: int
    low: float
    high: float
    points: int = 1
    began: float = math.inf  # when the earliest and the latest were written: seconds since 1970
    ended: float = -math.inf

    def join(self, later: _Bucket) -> None:
        self.first, self.last = min(self.first, later.first), max(self.last, later.last)
        self.low, self.high = min(self.low, later.low), max(self.high, later.high)
        self.points += later.points
        self.began, self.ended = min(self.began, later.began), max(self.ended, later.ended)


class GrowingSeries:
    """Each point goes into the last bucket. Where there are too many buckets, pairs of them become one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.points = self.not_finite = 0
        self._value = math.nan
        self._low, self._high = math.inf, -math.inf
        self._width = 1  # points of a bucket
        self._buckets: list[_Bucket] = []
        self._began: float | None = None  # when the first point with a time was written

    def add(self, step: int | None, value: float, at: float | None = None) -> None:
        place = self.points if step is None else step
        self.points += 1
        self._value = value
        self._began = at if self._began is None else self._began
        if not math.isfinite(value):
            self.not_finite += 1
            return
        self._low, self._high = min(self._low, value), max(self._high, value)
        times = () if at is None else (at, at)
        bucket = _Bucket(place, place, value, value, 1, *times)
        if self._buckets and self._buckets[-1].points < self._width:
            self._buckets[-1].join(bucket)
        else:
            self._buckets.append(bucket)
        if len(self._buckets) >= 2 * MOST:
            self._halve()

    def _halve(self) -> None:
        for bucket, later in zip(self._buckets[::2], self._buckets[1::2], strict=True):
            bucket.join(later)
        self._buckets = self._buckets[::2]
        self._width *= 2

    def state(self, start: float | None = None) -> LiveSeries:
        """`start`: of the run, in seconds since 1970; its first point's moment where nobody saw it begin."""
        start = self._began if start is None else start
        finite = self.points > self.not_finite
        return LiveSeries(
            name=self.name,
            points=self.points,
            value=self._value if math.isfinite(self._value) else None,
            low=self._low if finite else None,
            high=self._high if finite else None,
            buckets=tuple(
                (one.first, one.last, float(f"{one.low:.6g}"), float(f"{one.high:.6g}"))
                for one in self._buckets
            ),
            seconds=()
            if self._began is None or start is None
            else tuple(
                None if one.began > one.ended else (round(one.began - start, 3), round(one.ended - start, 3))
                for one in self._buckets
            ),
            not_finite=self.not_finite,
        )
