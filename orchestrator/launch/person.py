"""Who types the command, as the machine knows them."""

from __future__ import annotations

from orchestrator.record.author import person as person
