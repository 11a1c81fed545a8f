"""Crates without an engine: what the description says, and how files are named and written."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.finished_run import make_run, verdict
from support.records import digest_of as digest

from orchestrator.audit.exports.crate.crate_files import (
    CrateFile,
    Role,
    input_parts,
    safe_path,
    uri,
    write_files,
)
from orchestrator.audit.exports.crate.crate_graph import metadata
from orchestrator.digest import Digest
from orchestrator.errors import StoreError, UsageError
from orchestrator.image.registry.repository import read_place
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.record.run_record import InputOrigin, RunRecord
from orchestrator.run.attempt_model import State
from orchestrator.settings import load
from orchestrator.spec.inputs import digest_of
from orchestrator.spec.program import Program


def part(path: str, data: bytes = b"x", role: Role = Role.OUTPUT, name: str | None = None) -> CrateFile:
    return CrateFile(path, role, name or path, Digest.of(data), len(data), lambda: io.BytesIO(data))


def graph(run: RunRecord, *parts: CrateFile, licence: str | None = None) -> dict[str, Any]:
    """By id; each id once."""
    place = read_place("registry.example.org:5000/team/reprise")
    lines = [verdict(run.id, "fedcba9876543210")]
    document = json.loads(
        metadata(run, [part("program.json", role=Role.PROGRAM), *parts], lines, licence, place)
    )
    found = {one["@id"]: one for one in document["@graph"]}
    assert len(found) == len(document["@graph"])
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.keys() == {"@id"}:
            yield value["@id"]
        for name, inner in value.items():
            if name != "@id":
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_reference_leads_somewhere_and_every_file_hangs_on_the_root() -> None:
    parts = [
        part("outputs/ä b%25#.pt"),
        part("log.txt", role=Role.LOG),
        part("trace/0.jsonl", role=Role.TRACE),
        part("source/train.py", role=Role.SOURCE),
        part("inputs/data/a b.csv", role=Role.INPUT, name="data/a b.csv"),
    ]
    found = graph(make_run(), *parts, licence="https://example.org/licence")
    outside = ("https://w3id.org/ro/crate/1.1", "https://w3id.org/ro/terms/workflow-run#DockerImage")
    assert [to for to in references([*found.values()]) if to not in found and to not in outside] == []
    reached, waiting = set(), ["./"]
    while waiting:
        one = waiting.pop()
        reached.add(one)
        waiting += references(found[one].get("hasPart", []))
    files = {at for at, one in found.items() if "File" in one["@type"]}
    assert files <= reached
    assert files == {uri(one.path) for one in parts} | {"program.json"}
    assert "outputs/%C3%A4%20b%2525%23.pt" in files


def test_the_action_says_what_went_in_what_came_out_where_and_when() -> None:
    run = make_run()
    found = graph(run, part("outputs/model.pt"), part("log.txt", role=Role.LOG))
    action = found[f"#run/{run.id}"]
    assert action["instrument"] == {"@id": "program.json"}
    assert list(references(action["object"])) == ["#param/lr", "#seed", "#input/data"]
    assert list(references(action["result"])) == ["outputs/model.pt", "#metric/accuracy", "#metric/loss"]
    assert (action["startTime"], action["endTime"]) == ("2026-11-23T12:00:13+00:00",) * 2
    assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert action["subjectOf"] == {"@id": "log.txt"}
    assert "error" not in action
    assert found[action["agent"]["@id"]]["name"] == "ada"
    image = found[action["containerImage"]["@id"]]
    assert (image["registry"], image["name"]) == ("registry.example.org:5000", "team/reprise")
    assert image["sha256"] == run.image.hex
    assert found["#param/lr"]["value"] == 0.1
    assert found["#formal/param/lr"]["additionalType"] == "Float"
    assert found["#input/data"]["value"] == digest("data"), "the data is not in it: its digest is"
    assert (found["#metric/accuracy"]["value"], found["#metric/loss"]["value"]) == (0.98, "nan")
    assert found["#git"]["value"] == "c" * 40
    assert "source.patch" in found["#git"]["description"]
    assert found["pkg:pypi/torch@2.13.0%2Bcpu"]["softwareVersion"] == "2.13.0+cpu"
    assert found["#verdict/0"]["name"].startswith("identical: rerun fedcba9876543210")
    assert "/home/ada" not in json.dumps(found), "paths of the box are nobody's business"


def test_inputs_that_came_along_are_data() -> None:
    program = Program(name="digits", command=("python",), inputs={"one": digest("one"), "two": digest("two")})
    given = [
        part("inputs/one", role=Role.INPUT, name="one"),
        part("inputs/two/b", role=Role.INPUT, name="two/b"),
    ]
    found = graph(make_run(program=program), *given)
    assert found["inputs/one"]["@type"] == "File"
    assert found["inputs/two/"]["@type"] == "Dataset"
    assert found["inputs/two/"]["hasPart"] == {"@id": "inputs/two/b"}
    kinds = [found[f"#formal/input/{name}"]["additionalType"] for name in ("one", "two")]
    assert kinds == ["File", "Dataset"]


MAKER = "ab" * 8
ORIGINS = {
    "set": InputOrigin(asked="data:mnist", data="mnist", version=2),
    "weights": InputOrigin(asked="run:train@latest/model.pt", run=MAKER, path="model.pt"),
    "log": InputOrigin(asked=f"run:{MAKER}/log.txt", run=MAKER, path="log.txt"),
}


@pytest.mark.parametrize("whole", [True, False], ids=["with the data", "without it"])
def test_inputs_that_were_looked_up_say_what_they_are(whole: bool) -> None:
    inputs = {name: digest(name) for name in (*ORIGINS, "plain")}
    program = Program(name="digits", command=("python",), inputs=inputs)
    given = [part(f"inputs/{name}", role=Role.INPUT, name=name) for name in ("log", "plain")]
    given.append(part("inputs/set/a", role=Role.INPUT, name="set/a"))
    found = graph(make_run(program=program, input_origins=ORIGINS), *(given if whole else []))
    data = found["inputs/set/" if whole else "#input/set"]
    facts = [data[name] for name in ("identifier", "alternateName", "version", "name")]
    assert facts == ["data:mnist@2", "mnist", "2", "set"]
    assert "identifier" not in found["inputs/plain" if whole else "#input/plain"]
    maker = found[f"#run/{MAKER}"]
    assert maker["result"] == [{"@id": "inputs/log" if whole else "#input/log"}, {"@id": "#input/weights"}]
    assert "input weights was asked for as run:train@latest/model.pt" in maker["description"]
    assert {"@id": maker["@id"]} in found["./"]["mentions"]
    assert found[maker["instrument"]["@id"]]["@type"] == "SoftwareApplication"


def test_a_failed_run_is_told_as_failed() -> None:
    run = make_run(
        state=State.FAILED, message="exit code 3", outputs=(), metrics={}, git=None, finished_at=None
    )
    action = graph(run)[f"#run/{run.id}"]
    assert action["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert action["error"] == "failed: exit code 3"
    assert not {"result", "endTime"} & action.keys()


def test_odd_names_are_safe_everywhere_and_stay_apart() -> None:
    names = ["a\\..\\b", "a%5C..%5Cb", "c:d", "c%3Ad", "x?", "ä b", "sub/deep.txt"]
    safe = [safe_path(name) for name in names]
    assert len(set(safe)) == len(names)
    assert not any(set(name) & set('\\:*?"<>|') for name in safe)
    assert safe[-2:] == ["ä b", "sub/deep.txt"]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "a/./b", "a/..", "", "."])
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    with pytest.raises(StoreError, match="unsafe path"):
        safe_path(path)


PARTS = [part("ro-crate-metadata.json", b"{}"), part("outputs/a b/x.bin", bytes(range(256)) * 5000)]


def test_the_same_parts_give_the_same_zip_file(tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        assert write_files(tmp_path / name, PARTS, False, Silent()) == 2 + 256 * 5000
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [one.path for one in PARTS]
        assert archive.read("outputs/a b/x.bin") == bytes(range(256)) * 5000


@pytest.mark.parametrize("name", ["crate", "crate.zip"])
def test_bytes_that_were_altered_leave_nothing_behind(tmp_path: Path, name: str) -> None:
    good, bad = part("outputs/x", b"data"), part("outputs/y", b"data")
    for other in (b"dota", b"dat", b"data!"):
        damaged = bad._replace(open=lambda other=other: io.BytesIO(other))
        with pytest.raises(StoreError, match="other bytes"):
            write_files(tmp_path / name, [good, damaged], False, Silent())
        assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "there.zip").write_text("mine")
    (tmp_path / "link.zip").symlink_to(tmp_path / "there.zip")
    for name, force in (("full", True), ("link", True), ("there.zip", False), ("link.zip", True)):
        with pytest.raises(UsageError, match="is there already"):
            write_files(tmp_path / name, PARTS, force, Silent())
    assert (tmp_path / "there.zip").read_text() == "mine"
    write_files(tmp_path / "there.zip", PARTS, True, Silent())
    write_files(tmp_path / "empty", PARTS, False, Silent())
    assert sorted(os.listdir(tmp_path / "full")) == ["mine.txt"]
    assert (tmp_path / "empty" / "outputs" / "a b" / "x.bin").stat().st_size == 256 * 5000
    assert not (tmp_path / "empty").stat().st_mode & 0o022


def test_inputs_are_taken_by_digest_only(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1")
    (tmp_path / "one.txt").write_text("one")
    inputs = {"set": digest_of(tmp_path / "data"), "one": digest_of(tmp_path / "one.txt")}
    run = make_run(program=Program(name="x", command=("python",), inputs=inputs), input_paths={})
    given = {"set": tmp_path / "data", "one": tmp_path / "one.txt"}
    with Session(load({"REPRISE_HOME": str(tmp_path / "home")})) as session:
        with input_parts(session, run, given) as parts:
            found = {one.path: one.open().read() for one in parts}
        assert found == {"inputs/set/a.csv": b"1", "inputs/one": b"one"}
        for file in ("data/a.csv", "one.txt"):
            (tmp_path / file).write_text("other")
            with pytest.raises(UsageError, match="not sha256:"), input_parts(session, run, given):
                pass
            (tmp_path / file).write_text("1" if file == "data/a.csv" else "one")
        (tmp_path / "data" / "link").symlink_to("/etc/passwd")
        with pytest.raises(UsageError, match="link"), input_parts(session, run, given):
            pass


LONG = (
    *("a" * 255, "é" * 127, "%" * 255, "a" * 251 + ".pt", "a" * 250 + ".ckpt", "x." + "y" * 253),
    *("/".join(["d" * 255] * 15), "/".join(["d"] * 2000), "/".join(["d"] * 1999 + ["e"])),
)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_crate_of_long_names_is_written(tmp_path: Path, zipped: bool) -> None:
    """As long as a workspace can hold them, and each stays apart from the others."""
    parts = []
    for number, name in enumerate(LONG):
        data = str(number).encode()
        parts.append(part(f"outputs/{safe_path(name)}", data, name=name))
    target = tmp_path / ("c" * 240 + (".zip" if zipped else ""))
    write_files(target, parts, force=False, watch=Silent())
    if zipped:
        with zipfile.ZipFile(target) as archive:
            found = {name: archive.read(name) for name in archive.namelist()}
    else:
        found = {
            path.relative_to(target).as_posix(): path.read_bytes()
            for path in target.rglob("*")
            if path.is_file()
        }
    assert found == {one.path: str(number).encode() for number, one in enumerate(parts)}
    assert [os.path.splitext(one.path)[1] for one in parts[3:5]] == [".pt", ".ckpt"]


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1)


@given(st.lists(NAMES, min_size=1))
def test_names_of_any_length_fit_and_stay_apart(names: list[str]) -> None:
    names = [name for name in names if name not in (".", "..")]
    safe = {name: safe_path(name * 40) for name in names}
    assert len(set(safe.values())) == len({name * 40 for name in names})
    assert all(len(path.encode()) <= 200 for path in safe.values())
