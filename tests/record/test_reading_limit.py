"""A record for readers: it refuses writes, and ends a question that takes too long."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy.pool import QueuePool
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


def test_more_questions_than_there_are_connections_are_told_so(settings: Settings) -> None:
    """As a failure of the record, which a page and a channel know, and not as a bug of ours."""
    with open_reading_record(settings, 10.0) as record, ExitStack() as held:
        pool = record._database.engine.pool
        assert isinstance(pool, QueuePool)
        pool._timeout = 0.05
        for _ in range(pool.size() + pool._max_overflow):
            held.enter_context(record._database.reading())
        with pytest.raises(RecordError, match="too many questions at a time"):
            record.now()
