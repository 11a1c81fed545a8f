"""The points of one metric, as a chart reads them."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing

import pytest
from pydantic import ValidationError
from support.records import NOON, finish_run, new_run, no_points_are_read

from orchestrator.errors import RecordError, UsageError
from orchestrator.record.ledger.row_evidence import row_value
from orchestrator.record.record import open_record
from orchestrator.record.runs import field_tables
from orchestrator.record.schema import tables
from orchestrator.run.attempt_model import MetricPoint
from orchestrator.run.metrics.series import Point
from orchestrator.settings import Settings

AT = NOON.timestamp()


def test_one_metrics_points_come_in_the_order_they_were_written(settings: Settings) -> None:
    points = [
        MetricPoint(name="loss", step=2, value=2.0),
        MetricPoint(name="other", step=2, value=9.0),
        MetricPoint(name="loss", step=1, value=math.nan),
        MetricPoint(name="loss", value=-math.inf),
    ]
    with open_record(settings) as record:
        run = finish_run(record, new_run(), metrics={"loss": 1.0}, series=tuple(points))
        found = record.series(run, "loss")
        assert list(found.steps) == [2, 1, None]
        assert repr(list(found.values)) == "[2.0, nan, -inf]"
        assert record.series(run, "nothing").values == []
        assert record.series("f" * 16, "loss").values == []


def test_one_metric_of_many_costs_its_own_points(sqlite_settings: Settings) -> None:
    """A run may have a million points in a hundred metrics, and a page a chart for each."""
    with open_record(sqlite_settings):
        pass
    asked = "SELECT step FROM metric_point WHERE run_id = 1 AND name = 'loss' ORDER BY position"
    with closing(sqlite3.connect(sqlite_settings.home / "reprise.db")) as connection:
        (plan,) = connection.execute(f"EXPLAIN QUERY PLAN {asked}")
    assert "(run_id=? AND name=?)" in plan[3]


def test_times_are_seconds_since_the_start(settings: Settings) -> None:
    def points(*times: float | None) -> tuple[MetricPoint, ...]:
        return tuple(MetricPoint(name="loss", value=1.0, at=at) for at in times)

    with open_record(settings) as record:
        known = finish_run(record, new_run(), started_at=NOON, series=points(AT + 1.5, None, AT + 4))
        unknown = finish_run(record, new_run(), started_at=None, series=points(AT + 1.5, AT + 4))
        without = finish_run(record, new_run(), started_at=NOON, series=points(None, None))
        assert record.series(known, "loss").seconds == [1.5, None, 4.0]
        assert record.series(unknown, "loss").seconds == [0.0, 2.5]
        assert record.series(without, "loss").seconds == ()


def test_a_point_without_a_time_is_written_as_it_always_was(settings: Settings) -> None:
    """Documents and ledger hold its time only where it has one: what was kept before still verifies."""
    timed, plain = MetricPoint(name="a", value=1.0, at=AT), MetricPoint(name="a", value=1.0)
    assert plain.model_dump() == {"name": "a", "step": None, "value": 1.0}
    assert timed.model_dump() == plain.model_dump() | {"at": AT}
    rows = list(field_tables.RESULTS["series"].rows((plain, timed)))
    values = [row_value(tables.metric_point, row) for row in rows]
    assert values[0].keys() == {"position", "name", "text", "num"}
    assert values[1].keys() - values[0].keys() == {"at"}
    for at in (math.nan, math.inf, -1.0, 1.0, 1e300):
        with pytest.raises(ValidationError):
            MetricPoint(name="a", value=1.0, at=at)


def test_the_points_of_one_metric_are_read_without_the_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its text says it, to the last bit. What has no points is its last value."""
    points = [
        MetricPoint(name="loss", step=2, value=-0.0, at=AT),
        MetricPoint(name="other", step=2, value=9.0),
        MetricPoint(name="loss", value=math.inf),
    ]
    with open_record(settings) as record:
        run = finish_run(record, new_run(), metrics={"loss": 1.0, "acc": 0.5}, series=tuple(points))
        whole, queued = record.run_with_points(run), record.run(record.submit(new_run())[0])
        no_points_are_read(monkeypatch)
        found = record.run(run)
        for facts in (found, whole):
            assert repr(record.points_named(facts, "loss")) == repr(
                [Point("loss", 2, -0.0), Point("loss", None, math.inf)]
            )
            assert record.points_named(facts, "acc") == [Point("acc", None, 0.5)]
            for unknown, hint in (("los", "did you mean loss"), ("x\udcff", "it has acc, loss, other")):
                with pytest.raises(UsageError) as caught:
                    record.points_named(facts, unknown)
                assert hint in (caught.value.hint or "")
        with pytest.raises(UsageError) as caught:
            record.points_named(queued, "loss")
        assert caught.value.hint == "it has none"


@pytest.mark.parametrize("changes", ["text = 'no number'", "step = 'no step'"])
def test_an_altered_point_of_the_metric_is_told(sqlite_settings: Settings, changes: str) -> None:
    """One of another metric is not met."""
    points = [MetricPoint(name=name, step=1, value=1.0) for name in ("a", "b")]
    with open_record(sqlite_settings) as record:
        run = finish_run(record, new_run(), series=tuple(points))
        with closing(sqlite3.connect(sqlite_settings.home / "reprise.db")) as database, database:
            database.execute(f"UPDATE metric_point SET {changes} WHERE name = 'a'")
        facts = record.run(run)
        with pytest.raises(RecordError, match="cannot be read"):
            record.points_named(facts, "a")
        assert record.points_named(facts, "b") == [Point("b", 1, 1.0)]
