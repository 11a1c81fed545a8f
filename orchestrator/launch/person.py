"""Who types the command, as the machine knows them."""

from __future__ import annotations

from orchestrator.record.runs.author import person as person
