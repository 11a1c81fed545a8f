"""Points of metrics in columns: 29 bytes for each point, where an object takes 700."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from typing import Annotated, NamedTuple, overload

from pydantic import Field, PlainSerializer, PlainValidator

from orchestrator.value import Value

SECONDS = (1e9, 7.2e9)  # since 1970: September 2001 to 2198. What is below is a duration, or a wrong clock.
_MILLISECONDS = (1e12, 7.2e12)


class MetricPoint(Value):
    name: str
    step: int | None = None
    value: float  # NaN and infinities are kept
    # When it was written, in seconds since 1970 by the job's clock, where the job's file says it. Left out of
    # documents where it does not: those of points without a time are what they always were.
    at: Annotated[float, Field(ge=SECONDS[0], lt=SECONDS[1])] | None = Field(
        default=None, exclude_if=lambda at: at is None
    )


class Point(NamedTuple):
    """A point as a tuple: many times cheaper to make than a MetricPoint."""

    name: str
    step: int | None
    value: float


class TimedPoint(NamedTuple):
    name: str
    step: int | None
    value: float
    at: float | None = None  # seconds since 1970


def moment(value: object) -> float | None:
    """Seconds since 1970, of a number that can be nothing else: of these, or of milliseconds."""
    if not isinstance(value, int | float):
        return None
    if SECONDS[0] <= value < SECONDS[1]:
        return float(value)
    return value / 1000 if _MILLISECONDS[0] <= value < _MILLISECONDS[1] else None


_NEVER = float("nan")


class Series(Sequence[MetricPoint]):
    """A sequence of points, in the order in which they were added. Steps have 64 bits, values are doubles.

    OverflowError for a step that does not fit. Only its maker adds to it.
    """

    def __init__(self, points: Iterable[Point | TimedPoint] = ()) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}  # name -> its place in _names
        self._which = array("I")
        self._stepped = array("B")
        self._steps = array("q")
        self._values = array("d")
        self._moments = array("d")  # NaN for none
        for point in points:
            self.add(*point)

    def add(self, name: str, step: int | None, value: float, at: float | None = None) -> None:
        self._steps.append(0 if step is None else step)
        self._stepped.append(step is not None)
        self._values.append(value)
        self._moments.append(_NEVER if at is None else at)
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._names)
            self._names.append(name)
        self._which.append(number)

    def names(self) -> KeysView[str]:
        return self._numbers.keys()

    def rows(self) -> Iterator[Point]:
        columns = zip(self._which, self._stepped, self._steps, self._values, strict=True)
        for which, stepped, step, value in columns:
            yield Point(self._names[which], step if stepped else None, value)

    def timed_rows(self) -> Iterator[TimedPoint]:
        columns = zip(self._which, self._stepped, self._steps, self._values, self._moments, strict=True)
        for which, stepped, step, value, at in columns:
            yield TimedPoint(self._names[which], step if stepped else None, value, at if at == at else None)

    def last(self) -> dict[str, float]:
        """The last value of each name, in the order in which the names first came."""
        found = dict.fromkeys(range(len(self._names)), 0.0)
        found.update(zip(self._which, self._values, strict=True))
        return {self._names[number]: value for number, value in found.items()}

    def renamed(self, new: Mapping[str, str]) -> Series:
        """The points under their new names. Points without a new name are left out."""
        return Series(
            point._replace(name=new[point.name]) for point in self.timed_rows() if point.name in new
        )

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[MetricPoint]:
        for name, step, value, at in self.timed_rows():
            yield MetricPoint.model_construct(name=name, step=step, value=value, at=at)

    @overload
    def __getitem__(self, index: int) -> MetricPoint: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[MetricPoint, ...]: ...
    def __getitem__(self, index: int | slice) -> MetricPoint | tuple[MetricPoint, ...]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        step = self._steps[index] if self._stepped[index] else None
        name = self._names[self._which[index]]
        at = self._moments[index]
        return MetricPoint.model_construct(
            name=name, step=step, value=self._values[index], at=at if at == at else None
        )

    def __eq__(self, other: object) -> bool:
        """Equal points in the same order; NaN equals NaN."""
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        pairs = zip(self.timed_rows(), timed_points(other), strict=True)
        return all(_same(mine, theirs) for mine, theirs in pairs)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        return f"Series({len(self)} points of {len(self._names)} metrics)"


class _NotRead(Series):
    """In place of a run's points that were not read. Whoever looks at them was given the wrong run."""

    def __init__(self) -> None:
        pass

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError("the points of this run were not read")

    def __repr__(self) -> str:
        return "NOT_READ"


NOT_READ = _NotRead()


def _same(mine: TimedPoint, theirs: TimedPoint) -> bool:
    nan = mine.value != mine.value and theirs.value != theirs.value
    return (mine[:2], mine.at) == (theirs[:2], theirs.at) and (nan or mine.value == theirs.value)


def points_of(series: Sequence[MetricPoint]) -> Iterator[Point]:
    """Name, step and value of each point."""
    if isinstance(series, Series):
        return series.rows()
    return (Point(point.name, point.step, point.value) for point in series)


def timed_points(series: Sequence[MetricPoint]) -> Iterator[TimedPoint]:
    """Each point with its time, where it has one."""
    if isinstance(series, Series):
        return series.timed_rows()
    return (TimedPoint(point.name, point.step, point.value, point.at) for point in series)


def _series(points: object) -> Series:
    if isinstance(points, Series):
        return points
    if not isinstance(points, list | tuple):
        raise ValueError("a list of points is missing")  # noqa: TRY004 - pydantic asks for a ValueError
    try:
        return Series(timed_points([MetricPoint.model_validate(point) for point in points]))
    except OverflowError:
        raise ValueError("a step has more than 64 bits") from None


# The type of a model's field of points: any sequence is taken, and kept in columns.
Points = Annotated[Sequence[MetricPoint], PlainValidator(_series), PlainSerializer(list)]
