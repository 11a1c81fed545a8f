"""The last audit is kept for those who ask later, and never spoils the audit itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.records import finish_run, new_run

from orchestrator.audit.kept_audit import NAME, kept_audit
from orchestrator.cli.main import run
from orchestrator.errors import ExitCode
from orchestrator.launch.session import Session
from orchestrator.settings import load


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REPRISE_HOME", str(tmp_path / "home"))
    with Session(load()) as session:
        finish_run(session.record, new_run())
    return tmp_path / "home"


def test_what_an_audit_told_is_kept(home: Path) -> None:
    assert run(["audit", "--only", "ledger", "--only", "rows"]) == ExitCode.OK
    kept = kept_audit(home)
    assert kept is not None
    assert (kept.what, kept.count) == ("ledger, rows", len(kept.findings))
    assert kept.size > 0
    assert (home / NAME).stat().st_mode & 0o077 == 0


def test_where_it_cannot_be_kept_the_audit_answers_all_the_same(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / NAME).mkdir()
    assert run(["audit", "--only", "ledger"]) == ExitCode.OK
    assert "not kept" in capsys.readouterr().err
