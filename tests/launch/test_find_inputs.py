"""Where a run's inputs are taken from: the path that was given, the recorded one, the cache, the store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.launch.inputs.cache_room import remove
from orchestrator.launch.inputs.upload_input import put_input
from orchestrator.launch.session import Session
from orchestrator.launch.submit.find_inputs import find_inputs, located_inputs
from orchestrator.launch.watch import KeptNotes, Silent
from orchestrator.settings import load
from orchestrator.spec.inputs import digest_of


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    variables = {"REPRISE_HOME": str(tmp_path / "home"), "REPRISE_STORE": str(tmp_path / "store")}
    (tmp_path / "store").mkdir()
    with Session(load(variables)) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    (folder / "b").mkdir(parents=True)
    (folder / "a").write_bytes(b"A")
    (folder / "b" / "ü").write_bytes(b"BB")
    return folder


def test_inputs_of_a_rerun_are_found_by_name_and_checked(session: Session, folder: Path) -> None:
    wanted, watch = {"set": digest_of(folder)}, KeptNotes()
    paths = {"set": str(folder), "more": "/elsewhere"}
    assert located_inputs(session, wanted, paths, watch).paths == {"set": folder}
    with pytest.raises(UsageError, match="is not known to lie anywhere") as caught:
        located_inputs(session, wanted, {}, watch)
    assert caught.value.hint == "--input set=PATH"
    (folder / "a").write_bytes(b"changed")
    with pytest.raises(UsageError, match=r"set is sha256:\w+, not sha256:\w+; Reprise has kept no copy"):
        located_inputs(session, wanted, paths, watch)
    assert watch.notes == []


@pytest.mark.parametrize("change", ["other bytes", "gone"])
def test_a_copy_takes_the_place_of_what_changed_and_the_message_says_so(
    session: Session, folder: Path, change: str
) -> None:
    digest = put_input(session, folder, Silent()).digest
    if change == "gone":
        folder.rename(folder.with_name("aside"))
    else:
        (folder / "a").write_bytes(b"changed")
    watch = KeptNotes()
    found = located_inputs(session, {"set": digest}, {"set": str(folder)}, watch)
    assert (found.paths["set"] / "a").read_bytes() == b"A"
    assert found.stamps["set"]
    assert [text.endswith("the copy that Reprise kept is used") for text in watch.notes] == (
        [] if change == "gone" else [True]
    )
    with find_inputs(session, {"set": digest}, {}) as there:
        assert there["set"] == found.paths["set"]


def test_a_path_that_was_given_must_be_right(session: Session, folder: Path) -> None:
    digest = put_input(session, folder, Silent()).digest
    (folder / "a").write_bytes(b"changed")
    with pytest.raises(UsageError, match="not sha256"):
        located_inputs(session, {"set": digest}, {"set": str(folder)}, Silent(), given=["set"])


def test_an_input_that_nobody_has_is_said(session: Session, tmp_path: Path) -> None:
    nowhere = {"set": str(tmp_path / "nowhere")}
    with pytest.raises(UsageError, match=r"nowhere: No such file.*kept no copy"):
        located_inputs(session, {"set": Digest.of(b"x")}, nowhere, Silent())
    with pytest.raises(UsageError, match="no copy was kept"):
        find_inputs(session, {"set": Digest.of(b"x")}, nowhere).__enter__()


def test_copies_stay_while_they_are_read_and_two_names_of_one_are_no_trouble(
    session: Session, folder: Path
) -> None:
    one, two = put_input(session, folder, Silent()).digest, put_input(session, folder / "a", Silent()).digest
    with find_inputs(session, {"a": one, "b": two, "c": one}, {}) as found:
        assert found["a"] == found["c"]
        assert [remove(session.inputs, digest) for digest in (one, two)] == [0, 0]
        assert (found["a"] / "a").read_bytes() == found["b"].read_bytes() == b"A"
    assert sum(remove(session.inputs, digest) for digest in (one, two)) > 0


def test_two_who_hold_the_same_copies_by_other_names_do_not_wait_for_each_other(
    session: Session, folder: Path
) -> None:
    digests = [put_input(session, folder / name, Silent()).digest for name in ("a", "b")]
    both = threading.Barrier(2)

    def hold(names: str) -> None:
        both.wait(60)
        for _ in range(50):
            with find_inputs(session, dict(zip(names, digests, strict=True)), {}):
                pass

    threads = [threading.Thread(target=hold, args=(names,), daemon=True) for names in ("xy", "yx")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
