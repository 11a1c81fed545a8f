"""Named data of another record: brought in with its numbers, so that `data:NAME@2` means the same bytes here.

`bring_names` takes a connection inside a writing transaction (database.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Self

from pydantic import Field, model_validator
from sqlalchemy import Connection, select

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.record.data_sets.data_versions import append_version
from orchestrator.record.runs.run_states import record_input_data
from orchestrator.record.schema import tables
from orchestrator.record.transfer.import_limits import LINE, VERSIONS, input_problem
from orchestrator.spec.inputs import InputData
from orchestrator.spec.jobfile.job_spec import Name
from orchestrator.value import Instant, Value

_table = tables.data_version
_WHOLE = "the file was altered, or made by another program: export the record again"


class CarriedData(Value):
    """One version of a name as it travels. Its bytes do not travel."""

    name: Name
    version: Annotated[int, Field(ge=1, le=VERSIONS)]
    data: InputData
    by: Annotated[str, Field(min_length=1)]
    at: Instant

    @model_validator(mode="after")
    def _as_we_record_it(self) -> Self:
        if (what := input_problem(self.data)) is not None:
            raise ValueError(f"data {self.reference} {what}")
        if len(self.by.encode("utf-8", "replace")) > LINE:
            raise ValueError(f"data {self.reference} is by a name of more than {LINE} bytes")
        if self.at.tzinfo is None:
            raise ValueError(f"data {self.reference} has a moment without a time zone")
        return self

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


class BroughtNames(Value):
    new: tuple[str, ...]  # versions that were not here: mnist@2
    kept: tuple[str, ...]  # names that stay what they are here: a number of theirs has other bytes


def bring_names(connection: Connection, items: Callable[[], Iterable[CarriedData]]) -> BroughtNames:
    """Write down the versions that are not here, by whom and when they were named.

    A name is taken as a whole or not at all: where one number has other bytes here than there, the name
    stays what it is here. UsageError, and nothing is written, for versions that are not 1, 2, 3 … in order,
    or the same bytes twice under a name.
    """
    theirs: dict[str, list[Digest]] = {}
    for item in items():
        of_name = theirs.setdefault(item.name, [])
        if item.version != len(of_name) + 1 or item.data.digest in of_name:
            raise UsageError(f"data {item.reference} does not follow the versions before it", _WHOLE)
        of_name.append(item.data.digest)
    ours = {name: _versions(connection, name) for name in theirs}
    kept = {name for name, known in ours.items() if _differ(known, theirs[name])}
    new = []
    for item in items():
        if item.name not in kept and item.version not in ours[item.name]:
            # A list of files that has the digest proves itself. Without one, what is known here stays.
            record_input_data(connection, item.data, seen=bool(item.data.files))
            append_version(connection, item.name, item.version, item.data.digest, item.by, item.at)
            new.append(item.reference)
    return BroughtNames(new=tuple(new), kept=tuple(sorted(kept)))


def _versions(connection: Connection, name: str) -> dict[int, str]:
    query = select(_table.c.version, _table.c.digest).where(_table.c.name == name)
    return {row.version: row.digest for row in connection.execute(query)}


def _differ(here: dict[int, str], there: list[Digest]) -> bool:
    """Whether a number has other bytes, or the same bytes would get a second number."""
    both = {**dict(enumerate(there, 1)), **here}
    return any(here.get(number, digest) != digest for number, digest in enumerate(there, 1)) or (
        len(set(both.values())) < len(both)
    )
