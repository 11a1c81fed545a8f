"""A record for readers: it refuses writes, and ends a question that takes too long."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.records import new_run

from orchestrator.errors import RecordError
from orchestrator.record.record import open_reading_record, open_record
from orchestrator.settings import Settings, load

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_it_reads_what_others_write_and_writes_nothing(settings: Settings) -> None:
    with open_reading_record(settings, 10.0) as reading, open_record(settings) as writing:
        run, _ = writing.submit(new_run())
        assert reading.run(run).id == run
        with pytest.raises(RecordError, match=r"read-?only"):
            reading.submit(new_run())


def test_a_question_without_end_is_ended_and_the_next_one_is_answered(tmp_path: Path) -> None:
    settings = load({"REPRISE_HOME": str(tmp_path)})
    with open_reading_record(settings, 0.2) as record:
        with pytest.raises(RecordError, match="interrupted") as error, record.reading() as connection:
            connection.exec_driver_sql(ENDLESS).scalar()
        assert error.value.hint == "the question takes too long: narrow it"
        assert record.now() is not None
