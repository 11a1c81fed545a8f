"""The tables of the ledger; they name no run by its key, and outlive all other rows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Table

from orchestrator.record.schema.table_base import METADATA, big, column, moment, text

# SQLite gives its fast row number to INTEGER keys only.
_COUNT = BigInteger().with_variant(Integer(), "sqlite")

# What happened, in order. The columns beside `document` are copies of what it says.
event = Table(
    "event",
    METADATA,
    column("idx", _COUNT, primary_key=True, autoincrement=False),  # from 0
    moment("at"),
    text("made_by"),
    text("kind"),
    text("run", nullable=True),  # public id
    column("document", LargeBinary),  # canonical JSON: a leaf of the tree
    Index(None, "at"),
    Index(None, "kind", "idx"),
    Index(None, "made_by", "idx"),
    Index(None, "run", "idx"),
)

# One row: how far the ledger has grown.
ledger = Table(
    "ledger",
    METADATA,
    text("id", primary_key=True),  # 16 hex digits, random
    big("size"),  # events
    column("frontier", LargeBinary),  # merkle.Frontier
)

# Signed notes over size and root.
checkpoint = Table(
    "checkpoint",
    METADATA,
    column("size", _COUNT, primary_key=True, autoincrement=False),
    text("text"),
    moment("at"),
)
