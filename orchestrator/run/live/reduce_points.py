"""A series that grows without end, held in a bounded number of buckets of least and greatest value."""

from __future__ import annotations

import math

from orchestrator.run.live.live_state import LiveSeries

MOST = 100  # buckets that are shown; twice as many are held at most


class GrowingSeries:
    """Each point goes into the last bucket. Where there are too many buckets, pairs of them become one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.points = self.not_finite = 0
        self._value = math.nan
        self._low, self._high = math.inf, -math.inf
        self._width = 1  # points of a bucket
        self._buckets: list[list[float]] = []  # first, last, low, high, points

    def add(self, step: int | None, value: float) -> None:
        place = self.points if step is None else step
        self.points += 1
        self._value = value
        if not math.isfinite(value):
            self.not_finite += 1
            return
        self._low, self._high = min(self._low, value), max(self._high, value)
        last = self._buckets[-1] if self._buckets else None
        if last is None or last[4] >= self._width:
            self._buckets.append([place, place, value, value, 1])
        else:
            last[0], last[1] = min(last[0], place), max(last[1], place)
            last[2], last[3] = min(last[2], value), max(last[3], value)
            last[4] += 1
        if len(self._buckets) >= 2 * MOST:
            self._halve()

    def _halve(self) -> None:
        pairs = zip(self._buckets[::2], self._buckets[1::2], strict=True)
        self._buckets = [
            [min(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), max(a[3], b[3]), a[4] + b[4]]
            for a, b in pairs
        ]
        self._width *= 2

    def state(self) -> LiveSeries:
        finite = self.points > self.not_finite
        return LiveSeries(
            name=self.name,
            points=self.points,
            value=self._value if math.isfinite(self._value) else None,
            low=self._low if finite else None,
            high=self._high if finite else None,
            buckets=tuple(
                (int(one[0]), int(one[1]), float(f"{one[2]:.6g}"), float(f"{one[3]:.6g}"))
                for one in self._buckets
            ),
            not_finite=self.not_finite,
        )
