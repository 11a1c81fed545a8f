from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from support.records import new_run

from orchestrator.digest import Digest
from orchestrator.record.lineage import run_lineage as module
from orchestrator.record.record import Record
from orchestrator.record.run_record import InputOrigin
from orchestrator.record.schema import tables
from orchestrator.run.attempt_model import Output, OutputStatus, Result, State
from orchestrator.spec import inputs as spec_inputs
from orchestrator.spec.inputs import InputData, read_input

Made = Callable[..., str]


def put(path: Path, text: str) -> InputData:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return read_input(path)


def kept(**files: str) -> dict[str, Any]:
    outputs = (
        Output(path=path, status=OutputStatus.KEPT, digest=Digest.of(text.encode()), size=len(text))
        for path, text in files.items()
    )
    return {"outputs": tuple(outputs)}


@pytest.fixture
def made(record: Record) -> Made:
    """A finished run: a job's name, its inputs by name, its outputs by path."""

    def make(
        job: str,
        takes: dict[str, InputData] | None = None,
        known: bool = True,
        origins: dict[str, InputOrigin] | None = None,
        rerun_of: str | None = None,
        **outputs: str,
    ) -> str:
        takes = takes or {}
        new = new_run(job=job)
        digests = {name: data.digest for name, data in takes.items()}
        new = new.model_copy(
            update={
                "program": new.program.model_copy(update={"inputs": digests}),
                "inputs": tuple(takes.values()) if known else (),
                "input_origins": origins or {},
                "rerun_of": rerun_of,
            }
        )
        record.submit(new)
        record.claim(new.id, "box", "boot", "pid 1")
        record.finish(new.id, 1, Result(state=State.SUCCEEDED, exit_code=0, **kept(**outputs)))
        return new.id

    return make


def test_a_file_leads_to_the_run_that_made_it_and_on(record: Record, made: Made, tmp_path: Path) -> None:
    train = made("train", model="weights")
    prune = made("prune", {"weights": put(tmp_path / "a", "weights")}, small="pruned")
    serve = made("serve", {"net": put(tmp_path / "b", "pruned"), "data": put(tmp_path / "c", "pictures")})
    made("bystander", other="nothing of theirs")
    found = record.history.lineage(serve)
    assert [(link.maker, link.user, link.input) for link in found.above] == [
        (train, prune, "weights"),
        (prune, serve, "net"),
    ]
    assert found.above[0].matches[0].output == "model" and found.above[0].matches[0].file is None
    assert found.below == () and not found.cut
    [unmade] = found.unmade
    assert (unmade.run, unmade.input, unmade.looked_at, unmade.folder) == (serve, "data", True, False)
    assert set(found.runs) == {train, prune, serve} and found.runs[train].job == "train"
    downwards = record.history.lineage(train)
    assert [(link.maker, link.user) for link in downwards.below] == [(train, prune), (prune, serve)]
    assert downwards.above == () and downwards.unmade == ()


def test_files_in_a_folder_count(record: Record, made: Made, tmp_path: Path) -> None:
    one, two = made("prepare", part="one"), made("prepare", part="two")
    for name, text in (("x/one.txt", "one"), ("two.txt", "two"), ("own.txt", "nobody's")):
        put(tmp_path / "data" / name, text)
    data = read_input(tmp_path / "data")
    train = made("train", {"data": data})
    found = record.history.lineage(train)
    assert {(link.maker, link.matches[0].file) for link in found.above} == {
        (one, "x/one.txt"),
        (two, "two.txt"),
    }
    assert found.unmade == ()
    assert [link.user for link in record.history.lineage(one).below] == [train]


def test_the_same_folder_twice_is_recorded_once(record: Record, made: Made, tmp_path: Path) -> None:
    maker = made("prepare", part="one")
    data = [put(tmp_path / "data" / "f", "one"), read_input(tmp_path / "data")][1]
    users = [made("train", {"data": data}) for _ in range(2)]
    assert [link.user for link in record.history.lineage(maker).below] == users


def test_what_came_later_made_nothing_and_empty_files_say_nothing(
    record: Record, made: Made, tmp_path: Path
) -> None:
    user = made("use", {"a": put(tmp_path / "a", "late"), "e": put(tmp_path / "e", "")})
    made("make", late="late", empty="")
    made("make", empty="")
    again = made("use", {"e": put(tmp_path / "e", "")})
    assert record.history.lineage(user).above == () == record.history.lineage(again).above
    assert {item.input for item in record.history.lineage(user).unmade} == {"a", "e"}


def test_the_first_that_is_no_rerun_made_it(record: Record, made: Made, tmp_path: Path) -> None:
    first = made("train", model="weights")
    rerun = new_run(job="train").model_copy(update={"rerun_of": first})
    record.submit(rerun)
    record.claim(rerun.id, "box", "boot", "pid 1")
    record.finish(rerun.id, 1, Result(state=State.SUCCEEDED, **kept(model="weights")))
    user = made("use", {"w": put(tmp_path / "w", "weights")})
    [link] = record.history.lineage(user).above
    assert (link.maker, link.also) == (first, (rerun.id,))
    assert [link.user for link in record.history.lineage(rerun.id).below] == [user]
    record.annotations.archive([first], "ada")
    assert record.history.lineage(user).runs[first].archived


def test_what_cannot_be_seen_is_said(
    record: Record, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = made("prepare", part="one")
    put(tmp_path / "old" / "f", "one")
    old = made("train", {"data": read_input(tmp_path / "old")}, known=False)  # as older versions recorded
    [item] = record.history.lineage(old).unmade
    assert (item.folder, item.looked_at) == (None, False)
    monkeypatch.setattr(spec_inputs, "LISTED", 1)
    monkeypatch.setattr(module, "LISTED", 1)
    put(tmp_path / "long" / "f", "one")
    put(tmp_path / "long" / "g", "two")
    long = read_input(tmp_path / "long")
    assert long.files == () and long.count == 2
    [item] = record.history.lineage(made("train", {"data": long})).unmade
    assert (item.folder, item.files, item.looked_at) == (True, 2, False)
    assert record.history.lineage(maker).below == ()
    # An old run's folder is understood once somebody hashes it again.
    known = made("train", {"data": read_input(tmp_path / "old" / "f")})
    assert [link.maker for link in record.history.lineage(known).above] == [maker]


def test_a_long_chain_is_cut_and_says_so(
    record: Record, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [made("step", part="0")]
    for number in range(1, 6):
        runs.append(made("step", {"x": put(tmp_path / str(number), str(number - 1))}, part=str(number)))
    assert len(record.history.lineage(runs[-1]).runs) == 6
    monkeypatch.setattr(module, "MOST_RUNS", 3)
    found = record.history.lineage(runs[-1])
    assert found.cut and set(found.runs) == set(runs[-3:])


def test_the_run_that_was_asked_for_made_it(record: Record, made: Made, tmp_path: Path) -> None:
    """Not the first one that left the same bytes; and a file that is empty, too."""
    first, second = made("train", model="weights", log=""), made("train", model="weights", log="")
    takes = {"w": put(tmp_path / "w", "weights"), "log": put(tmp_path / "l", "")}
    asked = {"w": "run:train@latest/model", "log": "run:train@latest/log"}
    origins = {
        name: InputOrigin(asked=text, run=second, path=text.rpartition("/")[2])
        for name, text in asked.items()
    }
    user = made("use", takes, origins=origins)
    found = record.history.lineage(user)
    assert [(link.maker, link.input, link.asked, link.count, link.also) for link in found.above] == [
        (second, "log", asked["log"], 0, ()),
        (second, "w", asked["w"], 1, (first,)),
    ]
    assert found.unmade == ()
    assert [link.asked for link in record.history.lineage(second).below] == [asked["log"], asked["w"]]
    [link] = record.history.lineage(first).below
    assert (link.user, link.input, link.asked) == (user, "w", None)


def test_files_too_many_to_be_recorded_lead_to_the_run_that_was_asked_for(record: Record, made: Made) -> None:
    maker = made("prepare", part="one")
    long = InputData(digest=Digest.of(b"a list"), folder=True, count=20_000, size=20_000)
    origins = {"data": InputOrigin(asked=f"run:{maker}", run=maker, path="")}
    [link] = record.history.lineage(made("train", {"data": long}, origins=origins)).above
    assert (link.maker, link.matches, link.asked) == (maker, (), f"run:{maker}")


def test_what_an_imported_run_says_of_its_inputs_counts_where_the_bytes_are_the_same(
    record: Record, made: Made, tmp_path: Path
) -> None:
    """Of a run that was submitted here, they were looked up here."""
    maker = made("prepare", **{"part/a": "one", "part/b": "two", "model": "weights"})
    for name, text in (("a", "one"), ("b", "two")):
        put(tmp_path / "part" / name, text)
    file, folder = put(tmp_path / "m", "weights"), read_input(tmp_path / "part")
    other = put(tmp_path / "o", "pictures")
    record.data_sets.add("mnist", other, "ada")

    def out(path: str) -> InputOrigin:
        return InputOrigin(asked=f"run:{maker}/{path}", run=maker, path=path)

    set_ = InputOrigin(asked="data:mnist", data="mnist", version=1)
    later = InputOrigin(asked="data:mnist", data="mnist", version=7)  # of the other record alone
    takes = {"file": file, "folder": folder, "set": other, "later": file.model_copy()}
    true = {"file": out("model"), "folder": out("part"), "set": set_, "later": later}
    moved = {"file": out("part/a"), "folder": out("model"), "set": out("gone"), "later": set_}
    honest, liar = made("train", takes, origins=true), made("train", takes, origins=moved)
    assert record.history.untrue_origins(liar) == set()
    both = sqlalchemy.update(tables.run).where(tables.run.c.public_id.in_([honest, liar]))
    imported = both.values(imported_from=Digest.of(b"bundle"))
    record._database.write(lambda connection: connection.execute(imported))
    rerun = made("train", takes, origins=moved, rerun_of=liar)
    assert record.history.untrue_origins(rerun) == record.history.untrue_origins(liar)
    assert record.history.proved_origins(rerun) == set()
    assert record.history.proved_origins(honest) == {"file", "folder", "set"}
    assert record.history.untrue_origins(honest) == set()
    assert record.history.untrue_origins(liar) == {"file", "folder", "set", "later"}
    found = record.history.lineage(honest)
    assert {(link.maker, link.input, link.asked is None) for link in found.above} == {
        (maker, "file", False),
        (maker, "folder", False),
        (maker, "later", True),  # by its bytes
    }
    assert [item.data for item in found.unmade] == ["mnist@1"]
    found = record.history.lineage(liar)
    assert {(link.input, link.asked) for link in found.above} == {
        ("file", None),
        ("folder", None),
        ("later", None),
    }
    assert [(item.input, item.data) for item in found.unmade] == [("set", None)]
    below = record.history.lineage(maker).below
    assert {link.input for link in below if link.user == liar and link.asked is not None} == set()


def test_named_data_is_said(record: Record, made: Made, tmp_path: Path) -> None:
    origins = {"set": InputOrigin(asked="data:mnist", data="mnist", version=3)}
    user = made("train", {"set": put(tmp_path / "a", "pictures")}, origins=origins)
    [item] = record.history.lineage(user).unmade
    assert item.data == "mnist@3"


def test_a_clock_that_was_set_back_hides_no_link(record: Record, made: Made, tmp_path: Path) -> None:
    """Runs of this record come in the order of their keys; those of another one by their moments alone."""
    weights = put(tmp_path / "model", "weights")
    maker = made("train", model="weights")
    origin = InputOrigin(asked=f"run:{maker}/model", run=maker, path="model")
    users = {made("use", {"m": weights}), made("ask", {"m": weights}, origins={"m": origin})}
    run = tables.run
    earlier = sqlalchemy.update(run).values(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    back = earlier.where(run.c.public_id.in_(users))
    record._database.write(lambda connection: connection.execute(back))
    for user in users:
        assert [link.maker for link in record.history.lineage(user).above] == [maker]
    assert {link.user for link in record.history.lineage(maker).below} == users
    brought = sqlalchemy.update(run).values(imported_from=Digest.of(b"bundle"))
    record._database.write(lambda connection: connection.execute(brought))
    assert record.history.lineage(maker).below == ()
