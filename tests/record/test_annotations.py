from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from orchestrator.errors import UsageError
from orchestrator.record.record import Record
from orchestrator.record.run_record import HistoryFilter
from orchestrator.record.runs.annotations import LONGEST_NOTE, is_name

Finished = Callable[..., str]


def ids(record: Record, **wanted: object) -> list[str]:
    return [line.id for line in record.history.lines(HistoryFilter.model_validate(wanted))]


def test_notes_of_several_people_stay_in_order(record: Record, finished: Finished) -> None:
    run, other = finished(), finished()
    assert record.annotations.note(run, "loss looks odd\nafter step 40", "ada")
    assert record.annotations.note(run, "fixed in the next", "bob")
    assert not record.annotations.note(run, " fixed in the next ", "bob")  # a command that was sent twice
    assert record.annotations.note(run, "fixed in the next", "ada")  # somebody else's word
    said = [(note.by, note.text) for note in record.annotations.marks(run).notes]
    assert said == [
        ("ada", "loss looks odd\nafter step 40"),
        ("bob", "fixed in the next"),
        ("ada", "fixed in the next"),
    ]
    assert record.annotations.marks(other).notes == ()


def test_notes_without_sense_are_refused(record: Record, finished: Finished) -> None:
    run = finished()
    for text in ("", "  \n", "x" * (LONGEST_NOTE + 1)):
        with pytest.raises(UsageError):
            record.annotations.note(run, text, "ada")
    with pytest.raises(UsageError, match="no run"):
        record.annotations.note("0" * 16, "text", "ada")
    assert record.annotations.note(run, "é" * LONGEST_NOTE, "ada")  # longer than any index takes
    assert record.annotations.remarks(run)[0].text == "é" * LONGEST_NOTE


def test_a_tag_is_what_was_said_last(record: Record, finished: Finished) -> None:
    run, other = finished(), finished()
    assert record.annotations.tag(run, ["baseline", "lr:0.1", "baseline"], "ada") == ["baseline", "lr:0.1"]
    assert record.annotations.tag(run, ["baseline"], "bob") == []
    record.annotations.tag(other, ["baseline"], "bob")
    assert ids(record, tag="baseline") == [other, run]
    assert record.annotations.tag(run, ["baseline", "never"], "bob", remove=True) == ["baseline"]
    assert record.annotations.marks(run).tags == ("lr:0.1",)
    assert ids(record, tag="baseline") == [other]
    record.annotations.tag(run, ["baseline"], "cyd")
    assert ids(record, tag="baseline") == [other, run]
    assert [(item.kind, item.by) for item in record.annotations.remarks(run) if item.word == "baseline"] == [
        ("tag", "ada"),
        ("untag", "bob"),
        ("tag", "cyd"),
    ]
    assert {line.id: line.tags for line in record.history.lines(HistoryFilter())} == {
        other: ("baseline",),
        run: ("baseline", "lr:0.1"),
    }
    for word in ("", "two words", "-x", "a,b", "x" * 101):
        with pytest.raises(UsageError):
            record.annotations.tag(run, [word], "ada")


def test_a_name_is_one_runs_and_keeps_its_past(record: Record, finished: Finished) -> None:
    first, second = finished(), finished(job="other")
    assert record.annotations.name("production", first, "ada") is None
    assert record.annotations.name("production", first, "bob") == first  # nothing to change
    assert record.find("production") == record.find(" production ") == first
    assert record.annotations.name("production", second, "bob") == first
    assert record.find("production") == second
    assert record.annotations.marks(first).names == ()
    assert record.annotations.marks(second).names == ("production",)
    [named] = record.annotations.names()
    assert (named.run, named.job) == (second, "other")
    assert [(item.run, item.by) for item in named.past] == [(first, "ada"), (second, "bob")]
    assert record.annotations.unname("production", "cyd") == second
    assert record.annotations.names()[0].run is None and len(record.annotations.names()[0].past) == 3
    with pytest.raises(UsageError, match="no run has that alias"):
        record.find("production")
    with pytest.raises(UsageError):
        record.annotations.unname("production", "cyd")
    record.annotations.name("production", first, "ada")
    assert record.find("production") == first
    assert [line.names for line in record.history.lines(HistoryFilter())] == [(), ("production",)]


def test_no_name_looks_like_an_id(record: Record, finished: Finished) -> None:
    run = finished()
    for word in ("face", "DEADBEEF", "abc", "1234", "", "a b", "-x", "sha256:12", "a/b", "x" * 101):
        assert not is_name(word)
        with pytest.raises(UsageError):
            record.annotations.name(word, run, "ada")
    assert is_name("facet") and is_name("v2") and is_name("beef-1")
    record.annotations.name("v2", run, "ada")
    assert record.find("v2") == run  # shorter than an id may be
    with pytest.raises(UsageError) as caught:
        record.find("v3x")
    assert "v2" not in (caught.value.hint or "") or "did you mean" in (caught.value.hint or "")


def test_what_is_put_away_is_hidden_and_there(record: Record, finished: Finished) -> None:
    good = finished(result={"metrics": {"accuracy": 0.9}})
    odd = finished(result={"metrics": {"accuracy": 1.0}})
    assert record.history.best("digits", "accuracy").line.id == odd
    assert record.annotations.archive([odd, odd], "ada") == [odd]
    assert record.annotations.archive([odd], "bob") == []
    assert record.history.best("digits", "accuracy").line.id == good
    assert ids(record, archived=False) == [good]
    assert ids(record, archived=True) == [odd]
    assert ids(record) == [odd, good]
    away = record.annotations.marks(odd).archived
    assert away is not None and away.by == "ada"
    assert record.find(odd[:8]) == odd and record.run(odd).metrics == {"accuracy": 1.0}
    assert record.annotations.archive([good, odd], "bob", restore=True) == [odd]
    assert ids(record, archived=False) == [odd, good]
    assert record.annotations.marks(odd).archived is None
    record.annotations.archive([odd], "ada")
    assert ids(record, archived=True) == [odd]


def test_archiving_is_all_or_nothing(record: Record, finished: Finished) -> None:
    run = finished()
    with pytest.raises(UsageError):
        record.annotations.archive([run, "0" * 16], "ada")
    assert record.annotations.marks(run).archived is None


def test_many_people_at_once_leave_one_holder(record: Record, finished: Finished) -> None:
    runs = [finished() for _ in range(4)]

    def name(number: int) -> object:
        return record.annotations.name("production", runs[number % 4], f"p{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(name, range(24)))
        list(pool.map(lambda number: record.annotations.tag(runs[0], ["x"], f"p{number}"), range(8)))
    holders = [run for run in runs if record.annotations.marks(run).names == ("production",)]
    assert holders == [record.find("production")]
    assert [item.kind for item in record.annotations.remarks(runs[0])].count("tag") == 1
    past = [item.run for item in record.annotations.names()[0].past]
    assert all(before != after for before, after in pairwise(past))
