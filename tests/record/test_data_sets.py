from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from support.records import finish_run, new_run

from orchestrator.digest import Digest
from orchestrator.errors import RepriseError, UsageError
from orchestrator.record.record import Record
from orchestrator.record.run_record import InputOrigin
from orchestrator.record.runs import unreadable_rows
from orchestrator.spec.inputs import InputData, read_input
from orchestrator.spec.program import Program


def folder(path: Path, **files: str) -> InputData:
    path.mkdir(parents=True)
    for name, words in files.items():
        (path / name).write_text(words)
    return read_input(path)


@pytest.fixture
def sets(tmp_path: Path) -> list[InputData]:
    return [folder(tmp_path / str(n), a="1", b=str(n)) for n in range(3)]


def test_versions_count_from_one_for_each_name(record: Record, sets: list[InputData]) -> None:
    made = [record.data_sets.add("mnist", data, "ada") for data in sets]
    assert [(one.reference, new) for one, new in made] == [
        ("mnist@1", True),
        ("mnist@2", True),
        ("mnist@3", True),
    ]
    other, _ = record.data_sets.add("cifar", sets[0], "bob")
    assert (other.reference, other.digest, other.folder, other.files, other.size, other.by) == (
        *("cifar@1", sets[0].digest, True, 2, 2),
        "bob",
    )
    assert record.data_sets.find("mnist") == made[2][0]
    assert record.data_sets.find("mnist", 1) == made[0][0]
    listed = [one.reference for one in record.data_sets.versions()]
    assert listed == ["cifar@1", "mnist@3", "mnist@2", "mnist@1"]
    assert record.data_sets.names_of([sets[0].digest]) == {sets[0].digest: [made[0][0], other]}
    assert record.data_sets.known_input(sets[1].digest) == sets[1]


def test_the_same_bytes_again_are_the_version_that_they_were(record: Record, sets: list[InputData]) -> None:
    first, second = (record.data_sets.add("mnist", data, "ada")[0] for data in sets[:2])
    size = record.ledger.head().size
    assert record.data_sets.add("mnist", sets[0], "bob") == (first, False)
    assert record.ledger.head().size == size
    assert record.data_sets.find("mnist") == second


def test_an_unknown_name_says_what_is_near(record: Record, sets: list[InputData]) -> None:
    with pytest.raises(UsageError, match="no data has the name mnist") as caught:
        record.data_sets.find("mnist")
    assert "reprise data add PATH --name mnist" in str(caught.value.hint)
    record.data_sets.add("mnist", sets[0], "ada")
    with pytest.raises(UsageError) as caught:
        record.data_sets.find("mnits")
    assert "did you mean mnist?" in str(caught.value.hint)
    with pytest.raises(UsageError) as caught:
        record.data_sets.find("zzz")
    assert "there is mnist" in str(caught.value.hint)
    with pytest.raises(UsageError, match="no version 2") as caught:
        record.data_sets.find("mnist", 2)
    assert "from 1 to 1" in str(caught.value.hint)


def test_uses_say_who_asked_by_name(record: Record, sets: list[InputData]) -> None:
    version, _ = record.data_sets.add("mnist", sets[0], "ada")
    program = Program(name="digits", command=("true",), inputs={"images": sets[0].digest})
    origins = {"images": InputOrigin(asked="data:mnist", data="mnist", version=1)}
    by_name = finish_run(record, new_run(program=program, input_origins=origins))
    by_path = finish_run(record, new_run(program=program))
    elsewhere = {"images": InputOrigin(asked="run:x", run=by_path, path="")}
    by_run = finish_run(record, new_run(program=program, input_origins=elsewhere))
    found = [(use.run, use.named, use.input, use.job) for use in record.data_sets.uses(version)]
    assert found == [
        (by_run, False, "images", "digits"),
        (by_path, False, "images", "digits"),
        (by_name, True, "images", "digits"),
    ]
    assert record.run(by_name).input_origins == origins and record.run(by_path).input_origins == {}


def test_files_and_folders_are_known_by_their_bytes(record: Record, sets: list[InputData]) -> None:
    record.data_sets.add("mnist", sets[0], "ada")
    record.data_sets.add("mnist", sets[1], "ada")
    file, whole = Digest.of(b"1"), sets[1].digest
    found = [
        (one.name, one.version, one.path, one.digest) for one in record.data_sets.mentions([file, whole])
    ]
    assert found == [
        ("mnist", 1, "a", file),
        ("mnist", 2, None, whole),
        ("mnist", 2, "a", file),
        ("mnist", 2, "b", file),
    ]


def test_a_row_that_was_altered_is_left_out_and_said(
    record: Record,
    sets: list[InputData],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unreadable_rows, "_said", set())  # each text is said once
    for data in sets[:2]:
        record.data_sets.add("mnist", data, "ada")
    altered = text("UPDATE data_version SET name = '../\x1b[31m' WHERE version = 1")
    record._database.write(lambda connection: connection.execute(altered))
    assert [one.reference for one in record.data_sets.versions()] == ["mnist@2"]
    assert "left out" in caplog.text and "\x1b" not in caplog.text


@pytest.mark.parametrize(
    "alteration",
    [
        "DELETE FROM input_data WHERE digest = :last",
        "UPDATE data_version SET digest = 'none' WHERE version = 2",
    ],
)
def test_an_older_version_never_stands_for_one_that_cannot_be_read(
    record: Record, sets: list[InputData], alteration: str
) -> None:
    for data in sets[:2]:
        record.data_sets.add("mnist", data, "ada")
    words = {"last": sets[1].digest} if ":last" in alteration else {}
    record._database.write(lambda connection: connection.execute(text(alteration), words))
    with pytest.raises(RepriseError, match="mnist"):
        record.data_sets.find("mnist")
