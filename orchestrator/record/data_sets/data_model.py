"""Named data: the values that the record gives back."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orchestrator.digest import Digest
from orchestrator.spec.jobfile.job_spec import Name
from orchestrator.value import Instant, Value


class DataVersion(Value):
    """One version of a data set: a name and a number for a digest that an input can have."""

    name: Name
    version: Annotated[int, Field(ge=1)]
    digest: Digest
    folder: bool
    files: int  # how many
    size: int  # bytes of all files
    by: str
    at: Instant

    @property
    def reference(self) -> str:
        """As a job file has it, without `data:` before it."""
        return f"{self.name}@{self.version}"


class DataUse(Value):
    """A run that took a version of named data, or the same bytes under no name."""

    run: str
    job: str
    input: str
    named: bool  # it asked for the data by this name and version
    submitted_by: str
    created_at: Instant


class DataMention(Value):
    """Bytes that are named data, or a file in it."""

    name: Name
    version: int
    path: str | None  # in the folder; None: the data is these bytes as a whole
    digest: Digest  # of the bytes that were asked for
    by: str
    at: Instant
