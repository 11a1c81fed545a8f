from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.digest import Digest
from orchestrator.record.lineage import file_origin as module
from orchestrator.record.record import Record
from orchestrator.record.run_record import NewRun
from orchestrator.run.attempt_model import Log, Output, OutputStatus, Result, State, TraceFile
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


def test_inputs_logs_traces_and_patches_are_known(
    record: Record, new_run: Callable[..., NewRun], tmp_path: Path
) -> None:
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
