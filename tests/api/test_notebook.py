"""Tables for a notebook."""

from __future__ import annotations

import pytest
from support.secret_lookups import SECRET, count_lookups

from orchestrator.api.notebook import fields_html, table_html


def test_secrets_are_looked_up_once_for_a_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = count_lookups(monkeypatch)
    cells = [f"{number} {SECRET}" for number in range(500)]
    shown = table_html([("run", cells), (SECRET, cells)], ["run"], notes=[SECRET])
    assert (SECRET in shown, shown.count("***"), len(looked)) == (False, 1002, 1)
    shown = fields_html([(cell, cell) for cell in cells])
    assert (SECRET in shown, shown.count("***"), len(looked)) == (False, 1000, 2)
