from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from support.examples import tries
from support.query_plans import statements_of
from support.records import finish_run, new_run

from orchestrator.digest import Digest
from orchestrator.record.lineage import file_origin as module
from orchestrator.record.record import Record, open_record
from orchestrator.run.attempt_model import Log, Output, OutputStatus, Result, State, TraceFile
from orchestrator.settings import Settings
from orchestrator.spec.inputs import read_input
from orchestrator.spec.source.source_tree import GitState

Finished = Callable[..., str]
MODEL, COMMON = Digest.of(b"model"), Digest.of(b"common")


def outputs(**digests: Digest) -> dict[str, object]:
    found = (
        Output(path=path, status=OutputStatus.KEPT, digest=digest, size=5) for path, digest in digests.items()
    )
    return {"outputs": tuple(found)}


def test_names_and_archived_runs_are_told(record: Record, finished: Finished) -> None:
    run = finished(result=outputs(model=MODEL))
    record.annotations.name("production", run, "ada")
    record.annotations.archive([run], "ada")
    [made] = record.history.origin([MODEL])
    assert (made.run, made.names, made.archived) == (run, ("production",), True)


def test_a_file_that_everybody_left_hides_no_other(
    record: Record, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    runs = [finished(result=outputs(common=COMMON)) for _ in range(6)]
    last = finished(result=outputs(common=COMMON, model=MODEL))
    made = record.history.origin([COMMON, MODEL])
    assert [item.run for item in made if item.digest == COMMON] == runs[:3]
    assert [item.run for item in made if item.digest == MODEL] == [last]


def test_a_folder_with_many_rows_is_asked_for_in_few_queries(
    record: Record, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 8)
    files = {f"f{number}": Digest.of(b"%d" % number) for number in range(64)}
    finished(result=outputs(**files))
    statements = statements_of(record)
    assert [item.path for item in record.history.origin([*files.values()])] == sorted(files)
    assert len([text for text in statements if "FROM output" in text]) == 15, "of 64, 32, 16 and 8 digests"


class Left(NamedTuple):
    record: Record
    by: dict[Digest, list[str]]  # the runs that left it, oldest first; one of them, maybe, under two names

    def __repr__(self) -> str:  # hypothesis prints it with every failure
        return "left"


@pytest.fixture(scope="module")
def left(shared_settings: Settings) -> Iterator[Left]:
    pick = random.Random(5)
    by: dict[Digest, list[str]] = {Digest.of(b"%d" % number): [] for number in range(12)}
    with open_record(shared_settings) as record:
        for _ in range(25):
            some = pick.choices([*by], weights=range(1, 13), k=pick.randrange(8))
            run = finish_run(record, new_run(), **outputs(**{f"f{at}": one for at, one in enumerate(some)}))
            for one in some:
                by[one].append(run)
        yield Left(record, by)


@pytest.mark.property
@examples(max_examples=tries(50), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), most=st.integers(1, 40), chunk=st.integers(1, 13))
def test_many_files_have_the_origins_that_each_has_alone(
    left: Left, monkeypatch: pytest.MonkeyPatch, data: st.DataObject, most: int, chunk: int
) -> None:
    monkeypatch.setattr(module, "MOST", most)
    monkeypatch.setattr(module, "_CHUNK", chunk)
    asked = data.draw(st.lists(st.sampled_from([*left.by]), max_size=14))
    together = left.record.history.origin(asked)
    for digest in set(asked):
        mine = [item for item in together if item.digest == digest]
        assert [item.run for item in mine] == left.by[digest][:most]
        assert mine == left.record.history.origin([digest])
    assert len(together) == sum(len(left.by[digest][:most]) for digest in set(asked))


def test_inputs_logs_traces_and_patches_are_known(record: Record, tmp_path: Path) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "f").write_text("content")
    data = read_input(tmp_path / "data")
    patch, log, trace = (Digest.of(word) for word in (b"patch", b"log", b"trace"))
    new = new_run()
    new = new.model_copy(
        update={
            "program": new.program.model_copy(update={"inputs": {"set": data.digest}}),
            "inputs": (data,),
            "git": GitState(commit="c" * 40, dirty=True, patch_digest=patch),
        }
    )
    record.submit(new)
    record.claim(new.id, "box", "boot", "pid 1")
    traced = TraceFile(rank=0, world=1, pid=1, digest=trace, size=5, steps=1, events=1, complete=True)
    result = Result(state=State.SUCCEEDED, log=Log(digest=log, size=3, truncated=False), traces=(traced,))
    record.finish(new.id, 1, result)
    wanted = [data.digest, Digest.of(b"content"), patch, log, trace, MODEL]
    found = {item.digest: (item.run, item.role, item.what) for item in record.history.mentions(wanted)}
    assert found == {
        data.digest: (new.id, "input", "set"),
        Digest.of(b"content"): (new.id, "input file", "set/deep/f"),
        patch: (new.id, "patch", ""),
        log: (new.id, "log", ""),
        trace: (new.id, "trace", ""),
    }
    assert record.history.origin(wanted) == []
