"""Every way to a page of the history against a filter and a sort in plain Python."""

from __future__ import annotations

import json
import math
import random
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import EVERYTHING, tries
from support.records import finish_run, new_run

from orchestrator.errors import UsageError
from orchestrator.record.history import pages
from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import HistoryFilter, Reached, RunLine, RunRecord
from orchestrator.run.attempt_model import Failure, State
from orchestrator.run.metrics.series import MetricPoint
from orchestrator.settings import Settings

RUNS = 70
LONG = "x" * 100  # two texts that differ behind what is indexed
PARAMS = [0, 1, 1.0, -1, 0.1, 1 << 70, "", "adam", "é", "1", LONG + "b", LONG + "a", True, False, None, None]
METRICS = [0.0, 0.1, 1.0, 1.0, -1.0, math.nan, math.inf, -math.inf, None, None]


class Stored(NamedTuple):
    record: Record
    lines: list[RunLine]  # newest first
    hidden: dict[str, dict[str, Any]]  # by run: what can be sorted by, and a line has not

    def __repr__(self) -> str:  # hypothesis prints it with every failure
        return "stored"


@pytest.fixture(scope="module")
def stored(shared_settings: Settings) -> Iterator[Stored]:
    pick = random.Random(3)
    with open_record(shared_settings) as record:
        for number in range(RUNS):
            _one(record, pick, number)
        runs = [record.run_with_points(line.id) for line in record.history.lines(HistoryFilter())]
        lines = [
            line.model_copy(update={"reached": way_of(run) | {"seed": Reached(min=float(run.program.seed))}})
            for line, run in zip(record.history.lines(HistoryFilter()), runs, strict=True)
        ]
        hidden = {run.id: {"seed": run.program.seed, "exit_code": run.exit_code} for run in runs}
        yield Stored(record, lines, hidden)


def _one(
    record: Record,
    pick: random.Random,
    number: int,
) -> None:
    params = {name: pick.choice(PARAMS) for name in ("a", "b")}
    new = new_run(
        job=pick.choice(["x", "y"]),
        image=pick.choice(["one", "two"]),
        seed=number % 5,
        submitted_by=pick.choice(["ada", "bob"]),
        params={name: value for name, value in params.items() if value is not None},
    )
    if number % 10 == 9:
        record.submit(new)
        return
    metrics = {name: pick.choice(METRICS) for name in ("m", "n/o")}
    series = [
        MetricPoint(name=name, step=pick.choice([None, step]), value=value)
        for step in range(pick.choice([0, 0, 1, 5]))
        for name in ("m", "n/o")
        if (value := pick.choice(METRICS)) is not None
    ]
    for point in series:
        if pick.random() < 0.7:  # as of metrics.jsonl; else the value is from elsewhere
            metrics[point.name] = point.value
    state = pick.choice([State.SUCCEEDED, State.SUCCEEDED, State.FAILED])
    finish_run(
        record,
        new,
        state=state,
        failure=Failure.MEMORY if state is State.FAILED else None,
        seconds=pick.choice([None, 0.5, 1.0, 2.0]),
        exit_code=pick.choice([None, 0, 137]),
        metrics={name: value for name, value in metrics.items() if value is not None},
        series=tuple(series),
        metrics_incomplete=pick.choice(["", "", "", "a line is not JSON"]),
    )
    if number % 3 == 0:
        record.annotations.tag(new.id, ["keep"], "ada")
    if number % 6 == 0:
        record.annotations.tag(new.id, ["keep"], "ada", remove=True)
    if number % 12 == 0:
        record.annotations.tag(new.id, ["keep"], "ada")  # again: its index has the run twice
    if number % 7 == 0:
        record.annotations.archive([new.id], "ada")


def way_of(run: RunRecord) -> dict[str, Reached]:
    """The meaning of Reached, point by point."""
    found = {}
    for name, final in run.metrics.items():
        points = [(point.step, point.value) for point in run.series if point.name == name]
        if points and repr(points[-1][1]) == repr(final):
            last = points[-1][0]
        else:
            last = None
            points.append((None, final))
        numbers = [(step, value) for step, value in points if not math.isnan(value)]
        low = min(numbers, key=lambda point: point[1], default=(None, None))
        high = max(numbers, key=lambda point: point[1], default=(None, None))
        found[name] = Reached(last_step=last, min=low[1], min_step=low[0], max=high[1], max_step=high[0])
    return found


def number_of(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None


Test = Callable[[RunLine], bool]


def param(name: str, test: Callable[[float], bool]) -> Test:
    return lambda line: (value := number_of(line.params.get(name))) is not None and test(value)


def metric(name: str, test: Callable[[float], bool]) -> Test:
    return lambda line: name in line.metrics and test(line.metrics[name])


def part(name: str, which: str, test: Callable[[float], bool], *, of_nan: bool = False) -> Test:
    """`of_nan`: what holds for a metric that was never a number."""

    def holds(line: RunLine) -> bool:
        if name not in line.metrics:
            return False
        value = getattr(line.reached[name], which)
        return of_nan if value is None else test(value)

    return holds


ATOMS: list[tuple[str, Test]] = [
    ("params.a < 1", param("a", lambda value: value < 1)),
    ("params.a >= 0.1", param("a", lambda value: value >= 0.1)),
    ("0 <= params.b <= 1", param("b", lambda value: 0 <= value <= 1)),
    ("params.a == 'adam'", lambda line: line.params.get("a") == "adam"),
    (f"params.b > '{LONG}a'", lambda line: isinstance(p := line.params.get("b"), str) and p > LONG + "a"),
    (f"params.b < '{LONG}b'", lambda line: isinstance(p := line.params.get("b"), str) and p < LONG + "b"),
    (f"params.b <= '{LONG}a'", lambda line: isinstance(p := line.params.get("b"), str) and p <= LONG + "a"),
    ("params.a == true", lambda line: line.params.get("a") is True),
    ("params.a in (1, 'é', false)", lambda line: _any_of(line.params.get("a"))),
    ("params.b != 1", lambda line: "b" in line.params and number_of(line.params["b"]) != 1),
    ("metrics.m > 0", metric("m", lambda value: value > 0)),
    ("metrics.m <= 1", metric("m", lambda value: value <= 1)),
    ("metrics.m != 1", metric("m", lambda value: value != 1)),
    ("metrics.n/o == 1", metric("n/o", lambda value: value == 1)),
    ("metrics.m in (0.1, -1)", metric("m", lambda value: value in (0.1, -1))),
    ("metrics.m in []", lambda line: False),
    ("metrics.m.min < 0.1", part("m", "min", lambda value: value < 0.1)),
    ("metrics.m.max >= 1", part("m", "max", lambda value: value >= 1)),
    ("metrics['m'].last == 1", metric("m", lambda value: value == 1)),
    ("metrics.n/o.max in (1, -1)", part("n/o", "max", lambda value: value in (1, -1))),
    ("metrics.m.min != 1", part("m", "min", lambda value: value != 1, of_nan=True)),
    ("0.5 < metrics.m.max_step <= 3", part("m", "max_step", lambda value: 0.5 < value <= 3)),
    ("metrics.m.min_step < 1e30", part("m", "min_step", lambda value: True)),
    ("metrics.m.last_step != 4", part("m", "last_step", lambda value: value != 4)),
    ("seed > 1.5", lambda line: line.reached["seed"].min > 1.5),
    ("job == 'x'", lambda line: line.job == "x"),
    ("user == 'bob'", lambda line: line.submitted_by == "bob"),
    ("seconds > 0.5", lambda line: line.seconds is not None and line.seconds > 0.5),
    ("state == 'succeeded'", lambda line: line.state is State.SUCCEEDED),
    ("failure == 'memory'", lambda line: line.failure is Failure.MEMORY),
    ("created >= '2020-01-01'", lambda line: True),
]


def _any_of(value: Any) -> bool:
    return value is False or value == "é" or number_of(value) == 1


def joined(children: st.SearchStrategy[tuple[str, Test]]) -> st.SearchStrategy[tuple[str, Test]]:
    def both(pair: Any) -> tuple[str, Test]:
        (left, f), (right, g) = pair
        return f"({left}) and ({right})", lambda line: f(line) and g(line)

    def either(pair: Any) -> tuple[str, Test]:
        (left, f), (right, g) = pair
        return f"({left}) or ({right})", lambda line: f(line) or g(line)

    def negated(one: Any) -> tuple[str, Test]:
        text, test = one
        return f"not ({text})", lambda line: not test(line)

    pairs = st.tuples(children, children)
    return pairs.map(both) | pairs.map(both) | pairs.map(either) | children.map(negated)


OPTIONS: list[tuple[dict[str, Any], Test]] = [
    ({}, lambda line: True),
    ({"job": "y"}, lambda line: line.job == "y"),
    ({"job": "none"}, lambda line: False),
    ({"states": (State.FAILED, State.QUEUED)}, lambda line: line.state in (State.FAILED, State.QUEUED)),
    ({"by": "ada"}, lambda line: line.submitted_by == "ada"),
    ({"box": "box"}, lambda line: False),
    ({"tag": "keep"}, lambda line: "keep" in line.tags),
    ({"archived": True}, lambda line: line.archived),
    ({"archived": False, "job": "x"}, lambda line: not line.archived and line.job == "x"),
]
SORTS = (None, "params.a", "params.b", "metrics.m", "metrics.n/o", "metrics.m.min", "metrics.n/o.max")
SORTS += ('metrics["n/o"].min', "metrics.m.last", "metrics.m.max_step", "metrics.m.last_step")
SORTS += ("seconds", "seed", "created", "job", "user", "state", "failure", "image", "exit_code")


def in_order(stored: Stored, lines: list[RunLine], sort: str | None) -> list[RunLine]:
    """As documented in order.py; `lines` are newest first."""
    if sort is None:
        return lines
    field, descending = sort.removeprefix("-"), sort.startswith("-")
    parts: tuple[list[Any], ...] = ([], [], [])
    for age, line in enumerate(reversed(lines)):
        value = _value(stored, line, field)
        if value is None:
            parts[2].append((-age, line))
        else:
            parts[isinstance(value, str) and field.startswith("params.")].append(((value, age), line))
    ordered = [sorted(part, key=lambda item: item[0]) for part in parts]
    if descending:
        ordered[:2] = [part[::-1] for part in ordered[:2]]
    return [line for part in ordered for _, line in part]


def _value(stored: Stored, line: RunLine, field: str) -> Any:
    word, _, name = field.partition(".")
    if word == "params":
        value = line.params.get(name)
        return value[:100] if isinstance(value, str) else None if value is None else float(value)
    if word.startswith("metrics"):
        name, _, which = field.removeprefix("metrics").replace('["', ".").replace('"]', "")[1:].partition(".")
        if which in ("", "last"):
            value = line.metrics.get(name)
            return None if value is None or math.isnan(value) else value
        return getattr(line.reached[name], which) if name in line.metrics else None
    more = {"created": line.created_at, "user": line.submitted_by, **stored.hidden[line.id]}
    return more[word] if word in more else getattr(line, word)


# As if the record were so long that there is no other way to the page.
WAYS: dict[str, dict[str, int]] = {
    "found by an index": {"HANDFUL": RUNS},
    "walked": {"HANDFUL": -1, "GLANCE": RUNS},
    "found by an index after a glance": {"HANDFUL": -1, "GLANCE": 1, "FEW": RUNS},
    "found by two indexes, and walked": {"HANDFUL": -1, "GLANCE": 1, "FEW": -1},
    "the same, where they have few in common": {"HANDFUL": -1, "GLANCE": 1, "FEW": 20},
    "the same, in small pieces": {"HANDFUL": -1, "GLANCE": 1, "FEW": -1, "MANY": 2, "AT_ONCE": 3},
}


@pytest.mark.property
@pytest.mark.parametrize("way", WAYS)
def test_every_condition_by_every_way(stored: Stored, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    for name, value in WAYS[way].items():
        monkeypatch.setattr(pages, name, value)
    turn = [*WAYS].index(way)
    asked = [({"where": text}, test) for text, test in ATOMS] + OPTIONS
    for number, (options, test) in enumerate(asked):
        fitting = [line for line in stored.lines if test(line)]
        sorts = ((None, 2), ("params.b", 3 + number % 5), ("-metrics.m", RUNS))
        for sort, limit in sorts if EVERYTHING else [sorts[(number + turn) % 3]]:  # all, in two ways each
            found = stored.record.history.lines(HistoryFilter(sort=sort, limit=limit, **options))
            expected = in_order(stored, fitting, sort)[:limit]
            assert [line.id for line in found] == [line.id for line in expected], (options, sort)


@settings(max_examples=tries(120), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wheres=st.recursive(st.sampled_from(ATOMS), joined, max_leaves=4),
    option=st.sampled_from(OPTIONS),
    sort=st.sampled_from(SORTS),
    descending=st.booleans(),
    limit=st.none() | st.integers(1, RUNS + 5),
    handful=st.sampled_from([-1, 0, 3, 1000]),
    few=st.sampled_from([-1, 3, 20, 5000]),
    glance=st.sampled_from([1, 8, 30, 5000]),
    many=st.sampled_from([0, 10, 300_000]),
    at_once=st.sampled_from([3, 10_000]),
)
def test_a_page_is_what_python_finds(
    stored: Stored,
    monkeypatch: pytest.MonkeyPatch,
    wheres: tuple[str, Test],
    option: tuple[dict[str, Any], Test],
    sort: str | None,
    descending: bool,
    limit: int | None,
    handful: int,
    few: int,
    glance: int,
    many: int,
    at_once: int,
) -> None:
    bounds = {"HANDFUL": handful, "FEW": few, "GLANCE": glance, "MANY": many, "AT_ONCE": at_once}
    for name, value in bounds.items():
        monkeypatch.setattr(pages, name, value)
    text, test = wheres
    options, chosen = option
    sort = f"-{sort}" if sort and descending else sort
    fitting = [line for line in stored.lines if test(line) and chosen(line)]
    found = stored.record.history.lines(HistoryFilter(where=text, sort=sort, limit=limit, **options))
    expected = in_order(stored, fitting, sort)[:limit]
    assert [line.id for line in found] == [line.id for line in expected]


@settings(max_examples=tries(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    option=st.sampled_from(OPTIONS),
    sort=st.sampled_from(SORTS),
    descending=st.booleans(),
    limit=st.integers(3, RUNS),
    handful=st.sampled_from([-1, 3, 1000]),
    glance=st.sampled_from([1, 30, 5000]),
)
def test_pages_one_after_the_other_are_the_whole_list(
    stored: Stored,
    monkeypatch: pytest.MonkeyPatch,
    option: tuple[dict[str, Any], Test],
    sort: str | None,
    descending: bool,
    limit: int,
    handful: int,
    glance: int,
) -> None:
    for name, value in {"HANDFUL": handful, "GLANCE": glance}.items():
        monkeypatch.setattr(pages, name, value)
    wanted = HistoryFilter(sort=f"-{sort}" if sort and descending else sort, **option[0])
    assert walked(stored.record, wanted, limit) == [line.id for line in stored.record.history.lines(wanted)]


def walked(record: Record, wanted: HistoryFilter, limit: int, between: Callable[[], Any] = int) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        page = record.history.page(wanted.model_copy(update={"limit": limit, "after": after}))
        assert page.next is None or len(page.lines) == limit
        found += [line.id for line in page.lines]
        after = page.next
        if after is None:
            return found
        between()


@pytest.mark.parametrize(
    "sort", [None, "-metrics.m", "metrics.m", "params.a", "-created", "state", "seconds"]
)
def test_runs_that_come_in_between_two_pages_move_nothing(
    record: Record, finished: Callable[..., str], sort: str | None
) -> None:
    for value in (1.0, 2.0, 2.0, 3.0, None):
        metrics = {} if value is None else {"m": value}
        finished(params={"a": value or "x"}, result={"metrics": metrics, "seconds": value})
    before = [line.id for line in record.history.lines(HistoryFilter(sort=sort))]

    coming = iter(range(3))

    def more() -> None:
        if next(coming, None) is None:
            return
        finished(params={"a": 2.0}, result={"metrics": {"m": 2.0}, "seconds": 2.0})
        record.submit(new_run())

    found = walked(record, HistoryFilter(sort=sort), 1, more)
    assert len(found) == len(set(found))
    assert [run for run in found if run in before] == before


@pytest.mark.parametrize("sort", SORTS)
def test_the_end_of_another_page_is_refused(stored: Stored, sort: str | None) -> None:
    record = stored.record
    other = record.history.page(HistoryFilter(sort="seed" if sort is None else None, limit=1)).next
    run = stored.lines[0].id
    values = ["a\0\ud800", 1, 1.5, math.nan, math.inf, 1 << 63, "2026-01-01", "0001-01-01T00:00:00+14:00"]
    forged = [
        json.dumps({"sort": sort, "part": part, "value": value, "run": run})
        for part in (0, 1, 2, 3)
        for value in values
    ]
    forged += ["", "[]", '{"sort": null}', json.dumps({"sort": sort, "part": 0, "value": 1, "run": "f" * 16})]
    for text in (other, "?", "é", "a", *(b64encode(one.encode()).decode() for one in forged)):
        try:
            record.history.page(HistoryFilter(sort=sort, limit=1, after=text))
        except UsageError as error:
            assert "no page of this list ends" in error.message
    with pytest.raises(UsageError):
        record.history.lines(HistoryFilter(sort=sort, after=other))


def test_what_was_reached_is_what_the_points_say(stored: Stored) -> None:
    for line in stored.record.history.lines(HistoryFilter()):
        assert line.reached == way_of(stored.record.run_with_points(line.id))


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("minimize", [True, False])
@pytest.mark.parametrize("name", ["m", "n/o"])
@pytest.mark.parametrize("job", ["x", "y"])
def test_the_best_is_what_python_finds(
    stored: Stored, job: str, name: str, minimize: bool, last: bool
) -> None:
    which = "last" if last else "min" if minimize else "max"
    expected = python_best(stored, job, name, which, minimize)
    for asked in (name, f'metrics["{name}"]'):
        found = stored.record.history.best(job, asked, minimize=minimize, last=last)
        assert found.model_dump() | {"line": found.line.id} == expected
    assert stored.record.history.best(job, f"{name}.{which}", minimize=minimize).line.id == expected["line"]
    other = "max" if which == "min" else "min"
    odd = stored.record.history.best(job, f"{name}.{other}", minimize=minimize)
    assert odd.line.id == python_best(stored, job, name, other, minimize)["line"]


def python_best(stored: Stored, job: str, name: str, which: str, minimize: bool) -> dict[str, Any]:
    counting = [
        (_value(stored, line, f"metrics.{name}.{which}"), line)
        for line in reversed(stored.lines)
        if line.job == job and line.state is State.SUCCEEDED and not line.archived
    ]
    sign = 1 if minimize else -1
    # The first of equals.
    value, line = min((item for item in counting if item[0] is not None), key=lambda item: sign * item[0])
    step = getattr(line.reached[name], f"{which}_step")
    torn = sum(bool(other.metrics_incomplete) for _, other in counting)
    best = {"line": line.id, "metric": name, "part": which, "value": value, "step": step}
    return best | {"incomplete": torn}


def test_a_name_that_ends_like_a_part_is_asked_for(finished: Callable[..., str], record: Record) -> None:
    """A metric may be called `loss.min`: whichever is meant, the other is never taken for it."""
    low = finished(result={"metrics": {"loss": 1.0, "loss.min": 5.0}})
    high = finished(result={"metrics": {"loss": 2.0, "loss.min": 4.0, "acc.max": 3.0}})
    for refused in (
        lambda: record.history.lines(HistoryFilter(where="metrics.loss.min < 3")),
        lambda: record.history.lines(HistoryFilter(sort="metrics.loss.min")),
        lambda: record.history.best("digits", "loss.min"),
    ):
        with pytest.raises(UsageError, match=r"there is a metric loss\.min, and a metric loss") as caught:
            refused()
        assert caught.value.hint == 'write metrics["loss.min"] or metrics["loss"].min'
    for text, first in (('metrics["loss.min"]', high), ('metrics["loss"].min', low)):
        assert record.history.lines(HistoryFilter(sort=text))[0].id == first
        assert record.history.best("digits", text, minimize=True).line.id == first
    assert [line.id for line in record.history.lines(HistoryFilter(where='metrics["loss"].min < 2'))] == [low]
    assert [line.id for line in record.history.lines(HistoryFilter(where="metrics.acc.max == 3"))] == [high]
    with pytest.raises(UsageError, match="names a value already"):
        record.history.best("digits", 'metrics["loss"].min', last=True)
    with pytest.raises(UsageError, match="is a step"):
        record.history.best("digits", "loss.min_step")
