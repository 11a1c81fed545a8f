"""The ledger as it is asked, and signed, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.records import finish_run, new_run

from orchestrator.audit.heads.signed_note import parse_head, split_notes
from orchestrator.audit.keys import key_path
from orchestrator.cli.verb_session import opened
from orchestrator.errors import ExitCode
from orchestrator.launch.session import Session
from orchestrator.record.ledger.append_events import KINDS
from orchestrator.run.attempt_model import State
from orchestrator.view import ledger_view

Call = Callable[..., Any]


def end_a_run(session: Session, **result: Any) -> str:
    return finish_run(session.record, new_run(), **result)


def test_every_kind_of_event_has_words() -> None:
    assert ledger_view.SENTENCES.keys() == KINDS.keys()


def test_events_are_told_in_words(reprise: Call, session: Session) -> None:
    run = end_a_run(session, state=State.FAILED, failure="job", message="exit code 3")
    ran = reprise("ledger", "log")
    assert ran.code == ExitCode.OK
    lines = ran.out.splitlines()
    assert lines[0].split() == ["EVENT", "WHEN", "BY", "WHAT"]
    assert [line.split("  ")[-1] for line in lines[-3:]] == [
        f"submitted digits as {run}",
        f"began attempt 1 of {run}",
        f"{run} failed (job): exit code 3",
    ]
    assert [line.split()[0] for line in lines[1:]] == ["0", "1", "2", "3", "4"]
    assert reprise("ledger", "log", "--limit", "1").out.count("\n") == 2
    assert "failed" not in reprise("ledger", "log", "--kind", "run.submitted").out
    assert reprise("ledger", "log", "--by", "nobody").out == "no such events\n"
    told = reprise.json("ledger", "log", "--run", run[:6], "--since", "1h")["events"]
    assert [event["kind"] for event in told] == ["run.submitted", "run.claimed", "run.finished"]
    assert told[2]["data"]["run"]["failure"] == "job"
    assert told[2]["index"] == 4


def test_what_others_wrote_cannot_move_a_terminal(reprise: Call, session: Session) -> None:
    run = end_a_run(session, message="\x1b[2Jgone\x1b]0;title\x07\nnext")
    out = reprise("ledger", "log", "--run", run).out
    assert "gone" in out
    assert "next" in out
    assert "\x1b" not in out
    assert out.count("\n") == 4


def test_the_ledger_remembers_a_run_whose_row_is_gone(reprise: Call, session: Session) -> None:
    run = end_a_run(session)
    with session.record._database.writing() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for table in ("attempt", "wanted"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
        connection.exec_driver_sql("DELETE FROM run")
    assert f"{run} succeeded" in reprise("ledger", "log", "--run", run).out
    assert reprise("ledger", "log", "--run", "f" * 16).code == ExitCode.USAGE


def test_a_damaged_event_is_shown_as_far_as_it_goes(reprise: Call, session: Session) -> None:
    run = end_a_run(session)
    with session.record._database.writing() as connection:
        connection.exec_driver_sql("UPDATE event SET document = x'00' WHERE kind = 'run.finished'")
    ran = reprise("ledger", "log", "--run", run)
    assert (ran.code, ran.out.splitlines()[-1].split("  ")[-1]) == (0, f"the result was committed: {run}")
    assert reprise.json("ledger", "log", "--run", run)["events"][-1]["data"] is None


def test_a_command_that_ends_a_run_signs(home: Path) -> None:
    with opened() as session:
        end_a_run(session)
        assert session.record.ledger.latest_signed_head() is None
    with opened() as session:
        last = session.record.ledger.latest_signed_head()
        assert last is not None
        assert last.size == session.record.ledger.head().size
        session.record.submit(new_run())
    with opened() as session:
        assert session.record.ledger.latest_signed_head() == last


def test_a_command_after_one_that_was_killed_signs(home: Path, reprise: Call) -> None:
    with Session.open() as session:  # nothing is signed at its end
        end_a_run(session)
        assert reprise("ledger", "log").code == 0  # which only looks
        assert session.record.ledger.latest_signed_head() is None
        assert reprise("history").code == 0  # which finishes what others left
        assert session.record.ledger.latest_signed_head() is not None


def test_a_verb_that_fails_signs_what_it_ended(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), opened() as session:
        end_a_run(session)
        raise ZeroDivisionError
    with opened() as session:
        assert session.record.ledger.latest_signed_head() is not None


def test_a_key_that_cannot_be_used_fails_no_verb(
    home: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    path = key_path(session.settings)
    path.parent.mkdir(parents=True)
    path.write_text("no key")
    path.chmod(0o600)
    with opened() as other:
        end_a_run(other)
    err = capsys.readouterr().err
    assert "no tree head was signed: the signing key" in err
    assert session.record.ledger.latest_signed_head() is None


def test_a_verb_that_reads_nothing_of_the_record_opens_none(home: Path) -> None:
    with opened() as session:
        pass
    assert "record" not in vars(session)


def test_tree_head_prints_and_copies(reprise: Call, session: Session, tmp_path: Path) -> None:
    assert "empty" in reprise("ledger", "sign").out
    assert reprise.json("ledger", "sign")["text"] is None
    end_a_run(session)
    ran = reprise("ledger", "sign")
    assert parse_head(ran.out).size == session.record.ledger.head().size
    told = reprise.json("ledger", "sign")
    assert (told["text"], told["new"], told["copied"]) == (ran.out, False, None)
    session.record.submit(new_run())
    target = tmp_path / "witness"
    told = reprise.json("ledger", "sign", "--to", str(target))
    assert (told["new"], told["copied"]) == (True, 2)
    assert split_notes(target.read_text()) == [ran.out, told["text"]]
    with session.record._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM checkpoint")
        connection.exec_driver_sql("UPDATE ledger SET size = 1, frontier = zeroblob(32)")
    ran = reprise("ledger", "sign", "--to", str(target))
    assert (ran.code, "not of this ledger's past" in ran.err) == (ExitCode.AUDIT, True)


def test_tree_head_into_git_needs_a_repository(
    reprise: Call, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_a_run(session)
    monkeypatch.chdir(tmp_path)
    ran = reprise("ledger", "sign", "--to", "git")
    assert (ran.code, "not in a git repository" in ran.err) == (ExitCode.USAGE, True)


def test_the_log_says_where_it_stops(reprise: Call, session: Session) -> None:
    end_a_run(session)
    every = reprise.json("ledger", "log")
    assert (every["more"], every["limit"]) == (False, 50)
    for limit, more in ((2, True), (len(every["events"]), False)):
        ran = reprise("ledger", "log", "--limit", str(limit), "--json")
        document = json.loads(ran.out)
        assert document["events"] == every["events"][-limit:]
        assert (document["more"], "older events" in ran.err) == (more, more)


def test_a_kind_that_no_event_has_is_refused(reprise: Call, session: Session) -> None:
    end_a_run(session)
    for kind, hint in (("run.finish", "did you mean run.finished?"), ("x", "kinds are box, box.introduced")):
        ran = reprise("ledger", "log", "--kind", kind)
        assert (ran.code, hint in ran.err) == (ExitCode.USAGE, True), ran.err
