"""An export, audited where there is no database, no engine and no store."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.programs import ran
from support.tampered_world import World, change_the_seed, names_event, said, sign_all

from orchestrator.audit.exports.export_ledger import ExportedLedger, export
from orchestrator.audit.exports.offline_audit import audit_offline
from orchestrator.audit.findings import Finding
from orchestrator.audit.heads.signed_note import parse_head, sign_head
from orchestrator.audit.keys import KnownKeys, PublicKey, known_keys, signing_key
from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import AuditError, UsageError
from orchestrator.settings import load


def no_step(_done: int, _total: int) -> None: ...


def write(world: World, folder: Path, *, blobs: bool = True) -> ExportedLedger:
    with world.opened() as session:
        return export(session, folder, no_step, blobs=blobs)


@pytest.fixture(scope="module")
def key(made: World) -> PublicKey:
    return signing_key(made.settings).public


@pytest.fixture(scope="module")
def exported(made: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "export"
    done = write(made, folder)
    assert (done.events, done.runs, done.copied, done.missing) == (27, 3, done.blobs, 0)
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(exported, tmp_path / "export"))


def look(folder: Path, *keys: PublicKey, witnesses: tuple[Path, ...] = ()) -> list[Finding]:
    return list(audit_offline(folder, KnownKeys(keys=keys), witnesses, lambda _: no_step))


def wrong(folder: Path, *keys: PublicKey) -> list[Finding]:
    return [one for one in look(folder, *keys) if one.wrong]


def edit(path: Path, change: Callable[[list[bytes]], object]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


def test_an_export_that_nobody_touched_is_sound(exported: Path, key: PublicKey) -> None:
    (end,) = look(exported, key)
    assert (end.kind.value, end.wrong) == ("no tree head", False)
    assert end.detail == "of 27 events the last 3 are not signed by a known key"
    note, same = look(exported)
    assert same == end
    assert (note.kind.value, note.wrong) == ("not checked", False)
    assert key.name in note.detail


def test_a_fingerprint_is_as_good_as_the_key(exported: Path, key: PublicKey) -> None:
    def by(fingerprint: str) -> list[Finding]:
        return list(audit_offline(exported, known_keys([fingerprint]), (), lambda _: no_step))

    assert by(key.fingerprint) == look(exported, key)
    assert any(one.wrong for one in by("sha256:" + "0" * 64))


def test_its_events_are_the_leaves_of_the_tree(exported: Path, made: World) -> None:
    """With nothing of ours but the standard library, as an outsider would."""
    from hashlib import sha256

    def root(hashes: list[bytes]) -> bytes:
        if len(hashes) == 1:
            return hashes[0]
        half = 1 << ((len(hashes) - 1).bit_length() - 1)
        return sha256(b"\1" + root(hashes[:half]) + root(hashes[half:])).digest()

    leaves = [sha256(b"\0" + line).digest() for line in (exported / "events.jsonl").read_bytes().splitlines()]
    assert root(leaves).hex() == json.loads((exported / "ledger.json").read_text())["root"]


def test_no_database_and_no_engine_is_even_imported(exported: Path, key: PublicKey, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from orchestrator.cli.main import main\n"
        "try:\n"
        "    code = main()\n"
        "except SystemExit as end:\n"
        "    code = end.code\n"
        "outside = {'sqlalchemy', 'sqlmodel', 'sqlite3', 'psycopg', 'docker', 'torch', 'obstore'}\n"
        "found = outside & sys.modules.keys()\n"
        "print(code or 0, sorted(found))\n"
    )
    home = tmp_path / "nothing" / "here"
    environ = {**os.environ, "REPRISE_HOME": str(home), "DOCKER_HOST": "unix:///nowhere"}
    words = ["audit", "--offline", str(exported), "--key", key.vkey, "--json"]
    done = ran(sys.executable, "-c", program, *words, code=None, env=environ)
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr
    assert not home.exists()


def test_each_event_is_found_when_it_is_changed(folder: Path, key: PublicKey) -> None:
    path = folder / "events.jsonl"
    whole = path.read_bytes()
    for index, line in enumerate(whole.splitlines()):
        at = whole.index(line) + len(line) // 2
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert names_event(wrong(folder, key), index)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda lines: lines.pop(7), ("event out of order", "event 7")),
        (lambda lines: lines.insert(7, lines[6]), ("event out of order", "event 7")),
        (lambda lines: lines.insert(3, lines.pop(12)), ("event out of order", "event 3")),
        (lambda lines: lines.pop(), ("tree differs", "ledger")),
        (lambda lines: lines.clear(), ("ledger shorter", "ledger")),
        (lambda lines: lines.__setitem__(2, b"[" * 100_000 + b"\n"), ("event altered", "event 2")),
    ],
)
def test_events_taken_out_put_in_and_moved(
    folder: Path, key: PublicKey, change: Callable[[list[bytes]], object], found: tuple[str, str]
) -> None:
    edit(folder / "events.jsonl", change)
    assert found in said(wrong(folder, key))


def test_rows_that_are_not_what_events_say(folder: Path, key: PublicKey, made: World) -> None:
    runs, shared = folder / "runs.jsonl", folder / "shared.jsonl"
    whole = runs.read_bytes(), shared.read_bytes()

    def found(path: Path, change: Callable[[list[bytes]], object]) -> set[tuple[str, str]]:
        runs.write_bytes(whole[0])
        shared.write_bytes(whole[1])
        edit(path, change)
        return said(wrong(folder, key))

    def seed(lines: list[bytes]) -> None:
        lines[0] = lines[0].replace(b'"seed":0', b'"seed":1')

    assert found(runs, seed) == {("row altered", f"run {made.original}")}
    assert ("row missing", f"run {made.original}") in found(runs, lambda lines: lines.pop(0))
    twice = ("row unaccounted for", f"run {made.original}")
    assert found(runs, lambda lines: lines.append(lines[0])) == {twice}
    assert ("cannot be read", "line 2 of runs.jsonl") in found(
        runs, lambda lines: lines.__setitem__(1, b"{}\n")
    )
    strange = b'{"rows":{"run":{}},"run":"0123456789abcdef"}\n'
    assert found(runs, lambda lines: lines.append(strange)) == {
        ("row unaccounted for", "run 0123456789abcdef")
    }
    # Other spaces, or another member, would show a reader's grep what the audit does not see.
    for odd in (strange.replace(b":{", b": {"), strange.replace(b'"run":"', b'"a":{},"run":"')):
        assert found(runs, lambda lines, odd=odd: lines.append(odd)) == {
            ("cannot be read", f"line {len(whole[0].splitlines()) + 1} of runs.jsonl")
        }
    assert found(shared, lambda lines: lines.__setitem__(0, lines[0].replace(b"digits", b"letters"))) == {
        ("row altered", "job letters")
    }
    assert ("row missing", "job 1") in found(shared, lambda lines: lines.pop(0))
    odd = b'{"table":"../..","key":"1","value":{}}\n'
    assert found(shared, lambda lines: lines.append(odd)) == {("cannot be read", "line 6 of shared.jsonl")}


def test_blobs_that_are_altered_gone_or_not_listed(folder: Path, key: PublicKey, tmp_path: Path) -> None:
    listed = [json.loads(line)["digest"] for line in (folder / "blobs.jsonl").read_bytes().splitlines()]
    paths = [folder / "blobs" / "sha256" / one[7:9] / one[7:] for one in listed]
    paths[0].write_bytes(b"other")
    paths[1].unlink()
    data = paths[2].read_bytes()
    paths[2].unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(data)
    paths[2].symlink_to(elsewhere)
    edit(folder / "blobs.jsonl", lambda lines: (lines.pop(3), lines.append(b'{"digest":"../../etc"}\n')))
    assert said(wrong(folder, key)) == {
        ("blob altered", f"blob {listed[0]}"),
        ("blob missing", f"blob {listed[1]}"),
        ("blob altered", f"blob {listed[2]}"),
        ("blob missing", f"blob {listed[3]}"),
        ("cannot be read", f"line {len(listed)} of blobs.jsonl"),
    }


def test_a_blob_that_no_row_names_is_no_output(folder: Path, key: PublicKey) -> None:
    forged = Digest.of(b"forged")
    path = folder / "blobs" / "sha256" / forged.hex[:2] / forged.hex
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"forged")
    runs = map(json.loads, (folder / "runs.jsonl").read_bytes().splitlines())
    run = next(one["run"] for one in runs if isinstance(one["rows"].get("output", []), list))
    line = canonical_json({"digest": forged, "what": "output", "run": run}) + b"\n"
    edit(folder / "blobs.jsonl", lambda lines: lines.append(line))
    assert said(wrong(folder, key)) == {("row unaccounted for", f"blob {forged}")}


def test_without_blobs_they_are_not_looked_at_and_that_is_said(
    made: World, key: PublicKey, tmp_path: Path
) -> None:
    done = write(made, tmp_path / "thin", blobs=False)
    _, note = look(tmp_path / "thin", key)
    assert (note.subject, note.wrong) == (f"{done.blobs} of {done.blobs} blobs", False)
    assert not (tmp_path / "thin" / "blobs").exists()


def test_a_whole_export_by_another_key_is_told_apart(
    folder: Path, key: PublicKey, made: World, tmp_path: Path
) -> None:
    """Rewritten from its events to its signatures: sound in itself, and not what the box signed."""
    witness = tmp_path / "witness"
    witness.write_bytes((folder / "checkpoints").read_bytes())
    forged = made.copy(tmp_path / "forged")
    change_the_seed(forged)
    sign_all(forged, tmp_path / "mallory")
    write(forged, tmp_path / "rewritten")
    mallory = signing_key(load({"REPRISE_HOME": str(tmp_path / "mallory")})).public
    assert wrong(tmp_path / "rewritten", mallory) == []
    by_key = look(tmp_path / "rewritten", key)
    assert {one.kind.value for one in by_key} == {"not checked", "no tree head", "tree head not signed"}
    found = look(tmp_path / "rewritten", key, mallory, witnesses=(witness,))
    assert ("tree head differs", "events 0 to 14") in said([one for one in found if one.wrong])


def run_of(line: bytes) -> str:
    return str(json.loads(line)["run"])


def test_each_run_has_a_proof_that_an_outsider_checks(exported: Path, key: PublicKey) -> None:
    """From one line of the export, the run's events and the public key alone, hashed anew."""
    from hashlib import sha256

    events = [json.loads(line) for line in (exported / "events.jsonl").read_bytes().splitlines()]
    lines = (exported / "proofs.jsonl").read_bytes().splitlines()
    assert len(lines) == 2  # the third run is newer than the last tree head
    for line in lines:
        proof = json.loads(line)
        body, _, signature = proof["head"].partition("\n\n")
        size, root = int(body.split("\n")[1]), body.split("\n")[2]
        assert key.verify(body.encode() + b"\n", base64.b64decode(signature.split()[-1])[4:])
        own = [event for event in events if event["run"] == proof["run"] and event["index"] < size]
        assert [event["index"] for event in proof["events"]] == [event["index"] for event in own]
        for event, told in zip(own, proof["events"], strict=True):
            found = sha256(b"\0" + canonical_json(event)).digest()
            assert found.hex() == told["leaf"]
            at, last = told["index"], size - 1
            for one in map(bytes.fromhex, told["path"]):
                while at == last and not at & 1:
                    at, last = at >> 1, last >> 1
                found = sha256(b"\1" + (one + found if at & 1 else found + one)).digest()
                at, last = at >> 1, last >> 1
            assert base64.b64encode(found).decode() == root


def _other_hex(text: str, place: int) -> str:
    return text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]


@pytest.mark.parametrize("seed", range(30))
def test_any_change_of_leaf_proof_or_head_is_found(folder: Path, key: PublicKey, seed: int) -> None:
    draw = random.Random(seed)
    path = folder / "proofs.jsonl"
    lines = path.read_bytes().splitlines()
    number = draw.randrange(len(lines))
    proof = json.loads(lines[number])
    event = draw.choice(proof["events"])
    match seed % 6:
        case 0:
            event["leaf"] = _other_hex(event["leaf"], draw.randrange(64))
        case 1:
            place = draw.randrange(len(event["path"]))
            event["path"][place] = _other_hex(event["path"][place], draw.randrange(64))
        case 2:
            event["path"].insert(draw.randrange(len(event["path"]) + 1), "00" * 32)
        case 3:
            place = draw.randrange(len(proof["head"]))
            proof["head"] = (
                proof["head"][:place] + chr(ord(proof["head"][place]) ^ 1) + proof["head"][place + 1 :]
            )
        case 4:
            event["index"] = draw.choice([event["index"] + 1, -1, 10**30])
        case 5:
            proof["events"].remove(event)
    lines[number] = canonical_json(proof)
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert said(wrong(folder, key)) == {("inclusion not proven", f"run {proof['run']}")}


def test_proofs_that_are_gone_exchanged_or_of_another_signer(
    folder: Path, key: PublicKey, tmp_path: Path
) -> None:
    path = folder / "proofs.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    first, second = (("inclusion not proven", f"run {run_of(line)}") for line in whole[:2])
    edit(path, lambda lines: lines.pop(0))
    assert said(wrong(folder, key)) == {first}
    swapped = [json.loads(line) for line in whole[:2]]
    swapped[0]["events"], swapped[1]["events"] = swapped[1]["events"], swapped[0]["events"]
    path.write_bytes(b"".join(canonical_json(one) + b"\n" for one in swapped) + b"".join(whole[2:]))
    assert said(wrong(folder, key)) == {first, second}
    proof, mallory = json.loads(whole[0]), signing_key(load({"REPRISE_HOME": str(tmp_path / "mallory")}))
    read = parse_head(proof["head"])
    proof["head"] = sign_head(read.origin, read.size, read.root, mallory)
    path.write_bytes(canonical_json(proof) + b"\n" + b"".join(whole[1:]))
    assert said(wrong(folder, key)) == {first}
    path.write_bytes(b"{}\n" + b"".join(whole))
    assert said(wrong(folder, key)) == {("cannot be read", "line 1 of proofs.jsonl")}


@pytest.mark.parametrize("index", [b"null", b'"x"', b"1e400", b"{}", b"[]"])
def test_an_event_without_its_index_is_a_finding(folder: Path, key: PublicKey, index: bytes) -> None:
    edit(
        folder / "events.jsonl",
        lambda lines: lines.__setitem__(5, re.sub(rb'"index":5', b'"index":' + index, lines[5])),
    )
    assert names_event(wrong(folder, key), 5)


@pytest.mark.parametrize(
    "name", ["ledger.json", "events.jsonl", "runs.jsonl", "checkpoints", "blobs.jsonl", "proofs.jsonl"]
)
def test_what_is_no_export_is_refused(folder: Path, key: PublicKey, name: str) -> None:
    path = folder / name
    path.unlink()
    with pytest.raises(UsageError, match=name):
        look(folder, key)
    path.symlink_to("/dev/zero")
    with pytest.raises(UsageError, match=name):
        look(folder, key)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UsageError, match=name):
        look(folder, key)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format":2,"origin":"x","size":1,"root":"00"}'])
def test_a_head_that_makes_no_sense_is_refused(folder: Path, key: PublicKey, text: str) -> None:
    (folder / "ledger.json").write_text(text)
    with pytest.raises(UsageError, match=r"ledger\.json"):
        look(folder, key)


def test_an_export_is_there_whole_or_not_at_all(made: World, tmp_path: Path) -> None:
    broken = made.copy(tmp_path / "broken")
    with broken.sql() as connection:
        connection.execute("UPDATE run SET created_at = 'yesterday' WHERE id = 1")
    with pytest.raises(AuditError, match=broken.original):
        write(broken, tmp_path / "out" / "export")
    assert list((tmp_path / "out").iterdir()) == []
    write(made, tmp_path / "out" / "export")
    with pytest.raises(UsageError, match="there already"):
        write(made, tmp_path / "out" / "export")


@pytest.mark.parametrize("value", [[1], {"a": [1]}, 5, None, "\x1b"])
@pytest.mark.parametrize("name", ["blobs.jsonl", "runs.jsonl", "shared.jsonl", "proofs.jsonl"])
def test_members_of_any_kind_are_findings(folder: Path, key: PublicKey, name: str, value: object) -> None:
    """In each line's every member in turn."""
    lines = (folder / name).read_bytes().splitlines()
    first = json.loads(lines[0])
    (folder / name).write_bytes(
        b"".join(canonical_json({**first, member: value}) + b"\n" for member in first) + b"\n".join(lines[1:])
    )
    assert wrong(folder, key)
