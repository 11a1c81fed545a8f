"""The tables of the ledger; they name no run by its key, and outlive all other rows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer
from sqlmodel import Field

from orchestrator.record.schema.columns import Moment, Words
from orchestrator.record.schema.table_base import Row, table_of

# SQLite gives its fast row number to INTEGER keys only.
Count = BigInteger().with_variant(Integer(), "sqlite")


class Event(Row, table=True):
    """The ledger: what happened, in order. The columns beside `document` are copies of what it says."""

    __table_args__ = (
        Index(None, "at"),
        Index(None, "kind", "idx"),
        Index(None, "made_by", "idx"),
        Index(None, "run", "idx"),
    )

    idx: int = Field(primary_key=True, sa_type=Count, sa_column_kwargs={"autoincrement": False})  # from 0
    at: datetime = Field(sa_type=Moment)
    made_by: str = Field(sa_type=Words)
    kind: str = Field(sa_type=Words)
    run: str | None = Field(default=None, sa_type=Words)  # public id
    document: bytes  # canonical JSON: a leaf of the tree


class Ledger(Row, table=True):
    """One row: how far the ledger has grown."""

    id: str = Field(primary_key=True, sa_type=Words)  # 16 hex digits, random
    size: int = Field(sa_type=BigInteger)  # events
    frontier: bytes  # merkle.Frontier


class Checkpoint(Row, table=True):
    """Signed notes over size and root."""

    size: int = Field(primary_key=True, sa_type=Count, sa_column_kwargs={"autoincrement": False})
    text: str = Field(sa_type=Words)
    at: datetime = Field(sa_type=Moment)


event, ledger, checkpoint = table_of(Event), table_of(Ledger), table_of(Checkpoint)
