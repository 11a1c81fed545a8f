"""References to named data and to outputs of runs, looked up in a record and a store; no engine."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.records import new_run, result

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.launch.inputs.fetch_input import materialise
from orchestrator.launch.inputs.named_data import add_data, get_data
from orchestrator.launch.session import Session
from orchestrator.launch.submit.look_up_inputs import look_up, look_up_inputs
from orchestrator.launch.watch import Silent
from orchestrator.run.attempt_model import Failure, Output, OutputStatus, State
from orchestrator.spec.inputs import read_input
from orchestrator.spec.jobfile.job_spec import InputSpec

Ran = Callable[..., str]


@pytest.fixture
def ran(session: Session) -> Ran:
    """A finished run that left these files: a job's name, path -> text, fields of the result."""

    def make(job: str, files: dict[str, str], **changes: Any) -> str:
        outputs = []
        with session.store.batch() as batch:
            for path, text in files.items():
                digest = batch.add(io.BytesIO(text.encode()), len(text.encode()))
                kept = Output(path=path, status=OutputStatus.KEPT, digest=digest, size=len(text.encode()))
                outputs.append(kept)
        run, _ = session.record.submit(new_run(job=job))
        session.record.claim(run, "box", "boot", "pid 1")
        session.record.finish(run, 1, result(outputs=tuple(outputs), **changes))
        return run

    return make


FILES = {"m.pt": "weights", "ckpt/a": "a", "ckpt/deep/b": "b"}


def test_outputs_come_from_the_run_that_is_meant(session: Session, ran: Ran) -> None:
    one = ran("digits", FILES, metrics={"acc": 0.9, "loss": 0.2})
    two = ran("digits", FILES, metrics={"acc": 0.8, "loss": 0.1})
    failed = ran("digits", FILES, state=State.FAILED, failure=Failure.TIMEOUT, metrics={"acc": 1.0})
    session.record.annotations.name("production", one, "ada")
    meant = {
        f"run:{one}/m.pt": one,
        f"run:{two[:8]}/m.pt": two,
        "run:production/m.pt": one,
        "run:digits@latest/m.pt": two,
        "run:digits@best(acc)/m.pt": one,
        "run:digits@least(loss)/m.pt": two,
    }
    for text, run in meant.items():
        found = look_up(session, text)
        assert found is not None and found.data.digest == Digest.of(b"weights")
        assert (found.origin.asked, found.origin.run, found.origin.path) == (text, run, "m.pt")
    with pytest.raises(UsageError, match=r"has not succeeded: failed \(timeout\)") as caught:
        look_up(session, f"run:{failed}/m.pt")
    assert f"reprise outputs {failed} --to" in str(caught.value.hint)
    assert look_up(session, "data") is None


def test_a_folder_of_outputs_can_be_fetched_by_its_digest(session: Session, ran: Ran, tmp_path: Path) -> None:
    run = ran("digits", FILES)
    found = look_up(session, f"run:{run}/ckpt")
    assert found is not None and found.data.folder and found.data.count == 2
    place = materialise(session, found.data.digest, Silent())
    assert (place / "deep" / "b").read_text() == "b"
    assert read_input(place) == found.data


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("run:nobody/m.pt", "is not a run", "a run is 16 hex digits"),
        ("run:digits/m.pt", "is not a run", "run:digits@latest/m.pt and run:digits@best(METRIC)/m.pt"),
        ("run:digit@latest/m.pt", "no job is called digit", "did you mean digits?"),
        ("run:digits@best(accuracy)/m.pt", "no run of digits succeeded with a metric accuracy", "are: acc"),
        ("run:digits@latest/m.pth", "has no output m.pth", "did you mean m.pt?"),
        ("data:mnist", "no data has the name mnist", "reprise data add"),
        ("data:a b", "is no name of data", "./data:a b"),
    ],
)
def test_what_leads_nowhere_says_what_there_is(
    session: Session, ran: Ran, text: str, said: str, hint: str
) -> None:
    ran("digits", FILES, metrics={"acc": 0.9})
    with pytest.raises(UsageError) as caught:
        look_up_inputs(session, {"w": InputSpec(path=text), "plain": InputSpec(path="/x")})
    assert said in caught.value.message and caught.value.message.startswith("input w: ")
    assert hint in str(caught.value.hint)


def test_an_open_run_and_bytes_that_are_gone_are_told(session: Session, ran: Ran) -> None:
    waiting, _ = session.record.submit(new_run(job="digits"))
    with pytest.raises(UsageError, match="is queued: its outputs are not there yet"):
        look_up(session, f"run:{waiting}/m.pt")
    run = ran("digits", FILES)
    session.store.remove(Digest.of(b"a"), session.store.now().replace(year=2100))
    with pytest.raises(UsageError, match="has not output a of run"):
        look_up(session, f"run:{run}/ckpt")
    assert look_up(session, f"run:{run}/m.pt") is not None


def test_a_file_that_is_the_list_of_a_folder_is_refused(session: Session, ran: Ran) -> None:
    """Its digest would be that folder's."""
    text = json.dumps([["a", Digest.of(b"a").hex, 1]], separators=(",", ":"))
    with pytest.raises(UsageError, match="exactly the list of a folder's files"):
        look_up(session, f"run:{ran('digits', {'list.json': text})}/list.json")


def test_a_digest_that_the_spec_demands_is_compared(session: Session, ran: Ran) -> None:
    text = f"run:{ran('digits', FILES)}/m.pt"
    digest = Digest.of(b"weights")
    assert look_up_inputs(session, {"w": InputSpec(path=text, sha256=digest)})["w"].data.digest == digest
    with pytest.raises(UsageError, match=f"is {digest}, not"):
        look_up_inputs(session, {"w": InputSpec(path=text, sha256=Digest.of(b"other"))})


def test_named_data_goes_into_the_store_and_comes_out(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "f").write_text("content")
    data = read_input(folder)
    version, new = add_data(session, folder, None, Silent())
    assert (version.reference, version.digest, new) == ("set@1", data.digest, True)
    assert add_data(session, folder, "set", Silent()) == (version, False)
    found = look_up(session, "data:set@1")
    assert found is not None and found.data == data
    assert (found.origin.data, found.origin.version, found.origin.run) == ("set", 1, None)
    for number, text in enumerate(("set", "data:set@1", data.digest)):
        assert get_data(session, text, tmp_path / str(number), Silent())[0] == data.digest
        assert read_input(tmp_path / str(number)) == data
    for text, said in (("set@2", "no version 2"), ("sha256:00", "no whole digest"), ("a/b", "no name")):
        with pytest.raises(UsageError, match=said):
            get_data(session, text, tmp_path / "x", Silent())
    with pytest.raises(UsageError, match="is there already"):
        get_data(session, "set", tmp_path / "0", Silent())
    with pytest.raises(UsageError, match="cannot be a name"):
        add_data(session, folder, "a b", Silent())


def test_named_data_whose_bytes_are_gone_is_told(session: Session, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("content")
    add_data(session, tmp_path / "f", "one", Silent())
    session.store.remove(Digest.of(b"content"), session.store.now().replace(year=2100))
    with pytest.raises(UsageError, match="has not its bytes"):
        look_up(session, "data:one")
    with pytest.raises(UsageError, match="has not the bytes of data one@1"):
        get_data(session, "one", tmp_path / "x", Silent())
    add_data(session, tmp_path / "f", "one", Silent())  # as the message says
    assert look_up(session, "data:one") is not None
