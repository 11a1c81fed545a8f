from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import Connection, insert
from support.examples import tries
from support.query_plans import statements_of

from orchestrator.record.database.each_value import each_value
from orchestrator.record.history import recorded_names
from orchestrator.record.record import Record
from orchestrator.record.run_record import HistoryFilter
from orchestrator.record.runs.run_states import key_of
from orchestrator.record.schema import tables

Finished = Callable[..., str]
NAMES = st.sets(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3))


@contextmanager
def with_params(record: Record, names: dict[str, set[str]]) -> Iterator[Connection]:
    """A connection that sees these parameters of the runs; nothing of it stays."""
    with record._database.writing() as connection:
        rows = [
            {"run_id": key_of(connection, run), "name": name, "type": "int", "text": "1", "num": 1.0}
            for run, some in names.items()
            for name in some
        ]
        inside = connection.begin_nested()
        if rows:
            connection.execute(insert(tables.param), rows)
        yield connection
        inside.rollback()


@pytest.mark.property
@examples(max_examples=tries(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=NAMES, second=NAMES, most=st.none() | st.integers(1, 6))
def test_the_values_are_those_that_python_sorts(
    record: Record, two_runs: tuple[str, str], first: set[str], second: set[str], most: int | None
) -> None:
    param = tables.param.c
    with with_params(record, dict(zip(two_runs, (first, second), strict=True))) as connection:
        assert each_value(connection, param.name, most=most) == sorted((first | second) - {""})[:most]
        of_second = param.run_id == key_of(connection, two_runs[1])
        assert each_value(connection, param.name, of_second, most=most) == sorted(second - {""})[:most]


@pytest.fixture
def two_runs(finished: Finished) -> tuple[str, str]:
    return finished(), finished()


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)  # it counts its instructions
def test_what_many_rows_have_is_found_as_soon_as_what_few_have(record: Record, finished: Finished) -> None:
    def instructions(connection: Connection) -> int:
        found = 0

        def count() -> int:
            nonlocal found
            found += 1
            return 0

        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.set_progress_handler(count, 1)
        assert each_value(connection, tables.param.c.name) == ["a", "b", "c"]
        raw.set_progress_handler(None, 1)
        return found

    costs = []
    for number in (2, 40):
        names = {finished(): {"a", "b", "c"} for _ in range(number)}
        with with_params(record, names) as connection:
            costs.append(instructions(connection))
    assert costs[0] == costs[1]


def test_names_of_any_number_take_a_statement_a_table(
    record: Record, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(params={f"p{number}": 1 for number in range(9)}, result={"metrics": {"loss": 1.0, "acc": 1.0}})
    finished(job="other", result={"metrics": {"odd name": 1.0}})
    statements = statements_of(record)
    monkeypatch.setattr(recorded_names, "MOST", 5)
    fields = record.history.fields()
    assert [name for name in fields if "." in name or "[" in name] == [
        *(f"params.p{number}" for number in range(5)),
        *("metrics.acc", "metrics.loss", "metrics['odd name']"),
    ]
    assert len([text for text in statements if "min(" in text]) == 3
    statements.clear()
    wanted = HistoryFilter(job="digit", by="nobody", box="b9", tag="lost", archived=False)
    assert len(record.history.why_nothing(wanted)) == 4
    assert len([text for text in statements if "min(" in text]) == 4
