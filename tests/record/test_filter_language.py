"""The filter language against an evaluator in plain Python, and its refusals."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import tries
from support.records import new_run

from orchestrator.errors import UsageError
from orchestrator.record.history.filter_fields import Part
from orchestrator.record.history.filter_language import read_condition
from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import HistoryFilter, RunLine
from orchestrator.run.attempt_model import Failure, LoggedParam, Result, State
from orchestrator.settings import load


class Anything:
    """As if runs had parameters and metrics of every name but such as end like a part."""

    def knows(self, word: str, name: str) -> bool:
        return name.rpartition(".")[2] not in {part.value for part in Part}

    def some(self, word: str) -> list[str]:
        return []


def condition(text: str) -> Any:
    return read_condition(text, Anything()).sql


NUMBERS = [0, 1, -1, 0.1, 1.0, 1e-3, 5, 1 << 70]
STRINGS = ["", "adam", "sgd", "o'brien", "é", "1"]
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
STATES = [State.SUCCEEDED, State.FAILED, State.CANCELLED]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """60 runs with every kind of parameter and metric, or without."""
    import random

    pick, other = random.Random(1), random.Random(2)
    folder: Path = tmp_path_factory.mktemp("where")
    params = [*NUMBERS, *STRINGS, True, False, None]
    metrics = [0.0, 0.1, 1.0, -1.0, 5.0, math.nan, math.inf, -math.inf, None]
    with open_record(load({"REPRISE_HOME": str(folder)})) as record:
        for number in range(60):
            chosen = {name: pick.choice(params) for name in ("a", "b", "odd.na-me")}
            found = {name: pick.choice(metrics) for name in ("m", "n/o")}
            if number == 7:
                chosen["seldom"], found["seldom"] = 1, 1.0
            state = pick.choice(STATES)
            logged = {"a": other.choice(params), "b": other.choice(params)}
            result = Result(
                logged={k: LoggedParam(value=v, source="f") for k, v in logged.items() if v is not None},
                state=state,
                failure=Failure.JOB if state is State.FAILED else None,
                seconds=pick.choice([None, 0.1, 1.0, 5.0]),
                metrics={name: value for name, value in found.items() if value is not None},
            )
            add(record, pick.choice(["x", "y"]), {k: v for k, v in chosen.items() if v is not None}, result)
        yield Stored(record, record.history.lines(HistoryFilter()))


def add(record: Record, job: str, params: dict[str, Any], result: Result) -> None:
    run, _ = record.submit(new_run(job=job, params=params))
    record.claim(run, "box", "boot", "pid")
    record.finish(run, 1, result)


def holds(kind: str, have: Any, symbol: str, want: Any) -> bool:
    """The documented meaning of one comparison."""
    if have is None:
        return False
    equal_kinds = kind not in ("param", "logged") or (
        type(have) is type(want) or (not isinstance(have, bool | str) and not isinstance(want, bool | str))
    )
    if not equal_kinds:
        return symbol == "!="
    if isinstance(have, int | float) and not isinstance(have, bool):
        have, want = float(have), float(want)
    return OPERATORS[symbol](have, want)


def value_of(line: RunLine, kind: str, name: str) -> Any:
    if kind == "param":
        return line.params.get(name)
    if kind == "logged":
        return line.logged.get(name)
    if kind == "metric":
        return line.metrics.get(name)
    value = getattr(line, name)
    return value.value if isinstance(value, State | Failure) else value


def text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "1e999" if value == math.inf else repr(value)


FIELDS = [
    ("param", "a", "params.a"),
    ("param", "b", 'params["b"]'),
    ("param", "odd.na-me", "params['odd.na-me']"),
    ("param", "seldom", "params.seldom"),
    ("logged", "a", "logged.a"),
    ("logged", "b", "logged['b']"),
    ("metric", "m", "metrics.m"),
    ("metric", "n/o", 'metrics["n/o"]'),
    ("metric", "n/o", "metrics.n/o"),
    ("metric", "seldom", "metrics.seldom"),
    ("plain", "job", "job"),
    ("plain", "seconds", "seconds"),
    ("plain", "state", "state"),
    ("plain", "failure", "failure"),
]
Test = Callable[[RunLine], bool]


class Stored(NamedTuple):
    record: Record
    lines: list[RunLine]

    def __repr__(self) -> str:  # hypothesis prints it with every failure
        return "stored"


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[str, Test]:
    kind, name, text = draw(st.sampled_from(FIELDS))
    symbols = list(OPERATORS)
    if kind == "param":
        values = st.sampled_from([*NUMBERS, *STRINGS, True, False])
    elif kind == "metric" or name == "seconds":
        values = st.sampled_from([*NUMBERS, 1e999])
    elif name == "job":
        values = st.sampled_from(["x", "y", "z"])
    else:
        values = st.sampled_from([word.value for word in (State if name == "state" else Failure)])
        symbols = ["==", "!="]
    form = draw(st.sampled_from(["plain", "turned", "in", "not in", "chained"]))
    if form in ("in", "not in"):
        wants = draw(st.lists(values, max_size=3))
        listed = "[" + ", ".join(text_of(want) for want in wants) + "]"

        def inside(line: RunLine) -> bool:
            have = value_of(line, kind, name)
            any_of = any(holds(kind, have, "==", want) for want in wants)
            return have is not None and (any_of if form == "in" else not any_of)

        return f"{text} {form} {listed}", inside
    want, symbol = draw(values), draw(st.sampled_from(symbols))
    if isinstance(want, bool):
        symbol = "==" if symbol in ("<", "<=", "==") else "!="
    literal = text_of(want)

    def compared(line: RunLine) -> bool:
        return holds(kind, value_of(line, kind, name), symbol, want)

    turned = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(symbol, symbol)
    if form == "turned":
        return f"{literal} {turned} {text}", compared
    if form == "chained":
        return f"{literal} {turned} {text} {symbol} {literal}", compared
    return f"{text}{symbol}{literal}", compared


def joined(children: st.SearchStrategy[tuple[str, Test]]) -> st.SearchStrategy[tuple[str, Test]]:
    def negated(one: tuple[str, Test]) -> tuple[str, Test]:
        return f"not ({one[0]})", lambda line: not one[1](line)

    def both(pair: tuple[tuple[str, Test], ...]) -> tuple[str, Test]:
        (left, f), (right, g) = pair
        return f"({left}) and ({right})", lambda line: f(line) and g(line)

    def either(pair: tuple[tuple[str, Test], ...]) -> tuple[str, Test]:
        (left, f), (right, g) = pair
        return f"({left}\n or {right})", lambda line: f(line) or g(line)

    pairs = st.tuples(children, children)
    return children.map(negated) | pairs.map(both) | pairs.map(either)


@settings(max_examples=tries(400))
@given(expression=st.recursive(comparisons(), joined, max_leaves=6))
def test_sql_and_python_agree(stored: Stored, expression: tuple[str, Test]) -> None:
    record, lines = stored
    text, test = expression
    found = record.history.lines(HistoryFilter(where=text))
    assert [line.id for line in found] == [line.id for line in lines if test(line)]


REFUSED = [
    ("", "column|empty", ""),
    ("params.lr", "not a comparison at column 1", "compare it"),
    ("metrics['a'].mean < 1", "a metric has no mean", "last, min, max"),
    ("params['a'].min < 1", "a parameter has no min", "last, min, max"),
    ("params.lr = 0.1", "cannot be read", "=="),
    ("params.lr <> 0.1", "cannot be read", "!="),
    ("params.lr < 0.1 && job == 'x'", "cannot be read", "and"),
    ("params.lr < 0.1 AND job == 'x'", "cannot be read", "and"),
    ("job == 'x' | job == 'y'", "not a value", "or"),
    ("job == digits", "unknown name at column 8", "quotes"),
    ("state == succeeded", "unknown name at column 10", "strings need quotes: 'succeeded'"),
    ("jop == 'x'", "unknown name at column 1: `jop", "did you mean job"),
    ("é == 1 and jop == 'x'", "unknown name at column 1", "known are"),
    ("job == 'é' and jop == 'x'", "unknown name at column 16: `jop", "did you mean job"),
    ("state == 'sucseeded'", "one of a few words", "did you mean 'succeeded'"),
    ("state < 'failed'", "one of a few words", ""),
    ("seconds == 'long'", "compared with a number", ""),
    ("job == 1", "compared with a string", ""),
    ("metrics.a == true", "true and false", ""),
    ("params.flag < true", "true and false", ""),
    ("created > 'yesterday'", "not a date at column 11", "2026-01-31"),
    ("image == 'abc'", "not a digest", ""),
    ("params.lr in 0.1", "wants a list", "in ("),
    ("params.lr == (1, 2)", "wants a list", ""),
    ("metrics.loss/2 < 1", "not a value", ""),
    ("metrics.loss / lr < 1", "not a value", ""),
    ("seconds/epochs < 1", "not a value", ""),
    ("params.a < params.b", "no name with a value", ""),
    ("1 < 2", "no name with a value", ""),
    (f"seed in [{'1,' * 501}]", "more than 500 values", "range"),
    ("params.lr is 1", "`is` means nothing", "=="),
    ("params.lr == 1 + 1", "not a value", ""),
    ("params.lr == None", "unknown name|not a value", ""),
    ("__import__('os').system('true') == 0", "not a value", ""),
    ("params[0] == 1", "not a value", ""),
    ("params.lr == f'{job}'", "not a value", ""),
    ("(lambda: 1)() == 1", "not a value", ""),
    ("job == 'a\0b'", "cannot be read", ""),
    ("(" * 300 + "job == 'x'" + ")" * 300, "cannot be read", ""),
    ("not " * 60 + "job == 'x'", "nested more than", ""),
    ("job == 'x' or " * 1000 + "job == 'x'", "longer than", ""),
]


@pytest.mark.parametrize(("text", "message", "hint"), REFUSED, ids=range(len(REFUSED)))
def test_what_means_nothing_is_refused_with_a_hint(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        condition(text)
    assert hint in (caught.value.hint or "")
    assert caught.value.hint


@settings(max_examples=tries(300))
@given(
    text=st.text(max_size=30) | st.text(alphabet="abjo params.metrics[]()'\"<>=! notandr01.-", max_size=40)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        condition(text)
    except UsageError as error:
        assert error.hint


def test_the_longest_list_is_read(stored: Stored) -> None:
    everything = f"seed in [{'1,' * 499}0]"
    assert len(stored.record.history.lines(HistoryFilter(where=everything))) == len(stored.lines)


@pytest.mark.parametrize("text", ["\\ud800", "\\0", "\\x00", "\\uffff"])
def test_what_no_run_can_be_called_is_found_nowhere(stored: Stored, text: str) -> None:
    for field in ("job", "params.a", "params['b']"):
        assert stored.record.history.lines(HistoryFilter(where=f"{field} == '{text}'")) == []


def test_no_text_of_the_user_becomes_sql() -> None:
    from sqlalchemy.dialects import postgresql, sqlite

    evil = "'; DROP TABLE run; --"
    clause = condition(f"params[{evil!r}] == {evil!r} and job in [{evil!r}] and user != {evil!r}")
    for dialect in (sqlite.dialect(), postgresql.dialect()):
        assert "DROP" not in str(clause.compile(dialect=dialect))


UNKNOWN = [
    ("params.learning < 1", "no run has a parameter learning at column 1", "parameters that runs have: a, b"),
    ("params.a < 1 and params['odd.na-m'] < 1", "no run has a parameter odd.na-m at column 18", "odd.na-me?"),
    ("metrics.seldum > 0", "no run has a metric seldum", "did you mean seldom?"),
    ("metrics.m.mean > 0", "no run has a metric m.mean", "m"),
    ("not (metrics['m.min'] > 0)", "no run has a metric m.min", "m"),
    ("params.a.min > 0", "no run has a parameter a.min", "a"),
]


@pytest.mark.parametrize(("text", "message", "hint"), UNKNOWN, ids=range(len(UNKNOWN)))
def test_a_name_that_no_run_has_is_refused(stored: Stored, text: str, message: str, hint: str) -> None:
    for wanted in (HistoryFilter(where=text), HistoryFilter(where=text, job="x")):
        with pytest.raises(UsageError, match=message) as caught:
            stored.record.history.lines(wanted)
        assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text", ["params.learning", "metrics.seldum", "-metrics['m.min']", "-metrics.m.mean"]
)
def test_nothing_is_sorted_by_a_name_that_no_run_has(stored: Stored, text: str) -> None:
    with pytest.raises(UsageError, match=r"^sort: no run has a"):
        stored.record.history.lines(HistoryFilter(sort=text))
