"""The tables of the ledger; they name no run by its key, and outlive all other rows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Integer, LargeBinary

from orchestrator.record.schema.table_base import big, column, moment, table, text

# SQLite gives its fast row number to INTEGER keys only.
_COUNT = BigInteger().with_variant(Integer(), "sqlite")

# What happened, in order. The columns beside `document` are copies of what it says.
event = table(
    "event",
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
ledger = table(
    "ledger",
    text("id", primary_key=True),  # 16 hex digits, random
    big("size"),  # events
    column("frontier", LargeBinary),  # merkle.Frontier
)

# Signed notes over size and root.
checkpoint = table(
    "checkpoint",
    column("size", _COUNT, primary_key=True, autoincrement=False),
    text("text"),
    moment("at"),
)
