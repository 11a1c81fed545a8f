"""Why a filter lets no run through: what it asks for and no run has. It may be a typing error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from orchestrator.message_wording import did_you_mean
from orchestrator.record.database.each_value import each_value
from orchestrator.record.history.filter_fields import TABLES
from orchestrator.record.history.filter_language import read_condition
from orchestrator.record.history.queries import history, job_key, on_box
from orchestrator.record.history.recorded_names import MOST, RecordedNames
from orchestrator.record.run_record import HistoryFilter
from orchestrator.record.schema import tables


def why_nothing(connection: Connection, wanted: HistoryFilter) -> list[str]:
    """The reasons; none where each part of the filter fits some run, but no run fits all."""
    run, said = tables.run.c, tables.annotation.c
    found = []
    key = None
    if wanted.job is not None:
        key = job_key(connection, wanted.job)
        if key is None:
            found.append(
                f"no job {wanted.job} is recorded" + _near(connection, tables.job.c.name, wanted.job)
            )
    if wanted.by is not None and not _any(connection, run.id, run.submitted_by == wanted.by):
        found.append(f"no run was submitted by {wanted.by}" + _near(connection, run.submitted_by, wanted.by))
    if wanted.box is not None and not _any(connection, tables.attempt.c.run_id, on_box(wanted.box)):
        hint = _near(connection, tables.box.c.name, wanted.box)
        found.append(f"no run was executed by a box {wanted.box}{hint}")
    if wanted.tag is not None and not _any(
        connection, said.run_id, said.kind == "tag", said.word == wanted.tag
    ):
        words = each_value(connection, said.word, said.kind == "tag", most=MOST)
        found.append(f"no run ever had the tag {wanted.tag}" + _hint(wanted.tag, words))
    if key is not None and wanted.where is not None:
        found += _not_of_job(connection, wanted, key)
    away = wanted.model_copy(update={"archived": True, "limit": 1})
    if wanted.archived is False and history(connection, away).lines:
        found.append("runs that fit are put away: --archived lists them")
    return found


def _not_of_job(connection: Connection, wanted: HistoryFilter, key: int) -> Iterator[str]:
    """Names in the condition that other jobs have, and this one lacks."""
    condition = read_condition(str(wanted.where), RecordedNames(connection))
    run = tables.run.c
    for field in dict.fromkeys(condition.fields):
        table = TABLES.get(field.word)
        if table is not None:
            here = (run.id == table.c.run_id, run.job_id == key, table.c.name == field.name)
            if not _any(connection, run.id, *here):
                yield f"no run of the job {wanted.job} has {field._replace(part=type(field.part).LAST)}"


def _any(connection: Connection, column: Any, *conditions: Any) -> bool:
    return connection.execute(select(column).where(*conditions).limit(1)).first() is not None


def _near(connection: Connection, column: Any, text: str) -> str:
    return _hint(text, each_value(connection, column, most=MOST))


def _hint(text: str, known: list[str]) -> str:
    near = did_you_mean(text, known, "")
    return f" ({near})" if near else ""
