"""How often the secrets of this process are looked up: once for a page, a table, a log, however long."""

from __future__ import annotations

import pytest

from orchestrator import redaction

SECRET = "hunter2hunter2"


def count_lookups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on SECRET is one; each time that they are looked up makes the list longer."""
    looked: list[int] = []
    environment = redaction._of_environment
    monkeypatch.setattr(redaction, "_of_environment", lambda: looked.append(1) or environment())
    monkeypatch.setenv("PGPASSWORD", SECRET)
    return looked
