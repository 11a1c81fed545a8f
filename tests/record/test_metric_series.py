"""The points of one metric, as a chart reads them."""

from __future__ import annotations

import math

from support.records import finish_run, new_run

from orchestrator.record.record import open_record
from orchestrator.run.attempt_model import MetricPoint
from orchestrator.settings import Settings


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
