"""Attestations of real runs: two boxes sign one claim, a stranger checks it with public keys only."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement as ForeignStatement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.signer import SSlibKey
from support.altered import flipped
from support.box import Box, Outcome, git, make_box, write_job
from support.records import new_run
from support.services import RegistryServer, registry_server

from orchestrator.audit.attestations.attestation_bundle import check_attestations, read_attestations
from orchestrator.audit.keys import read_public
from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.image.registry.referrers import attach
from orchestrator.image.registry.registry_client import Client
from orchestrator.image.registry.repository import read_place
from orchestrator.record.record import open_record
from orchestrator.settings import Settings, load

pytestmark = pytest.mark.engine
REPOSITORY = "team/reprise"
SCRIPT = """
import random, sys
open('x.txt', 'w').write(str(random.random()))
open('when.log', 'w').write(open('/proc/uptime').read())
"""
EXTRA = 'params: {lr: 0.1}\noutputs: ["**", {glob: "*.log", volatile: true}]\n'
NOISY = "import os; open('x.txt', 'w').write(os.urandom(4).hex())"


class Two(NamedTuple):
    """Two boxes with one record and one store, each with a key of its own, and what they attested."""

    alpha: Box
    beta: Box
    stranger: Box  # has nothing but public keys
    run: str
    rerun: str
    image: str
    file: Path
    keys: Path
    outputs: Path

    def check(self, *words: str, of: object = None) -> Outcome:
        """As the stranger: a file, or a place in a registry."""
        return self.stranger.type(
            "attestation", "verify", str(of or self.file), "--key", str(self.keys), *words
        )


@pytest.fixture(scope="module")
def hub(shared_base: Settings) -> Iterator[RegistryServer]:
    """With the base's layers in its storage already: pushing them is for other tests."""
    with registry_server() as server:
        server.holds(REPOSITORY, shared_base.layout / "blobs" / "sha256")
        yield server


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, shared_base: Settings, hub: RegistryServer) -> Two:
    folder = tmp_path_factory.mktemp("attest")
    common = {
        "REPRISE_DATABASE_URL": f"sqlite:///{folder / 'team.db'}",
        "REPRISE_STORE": str(folder / "store"),
        "REPRISE_REGISTRY": hub.place(REPOSITORY),
    }
    alpha, beta = (make_box(folder / name, shared_base, **common) for name in ("alpha", "beta"))
    spec = write_job(folder / "job", SCRIPT, EXTRA)
    git(spec.parent, "init", "--quiet")
    git(spec.parent, "add", ".")
    git(spec.parent, "commit", "--quiet", "-m", "a job")
    (spec.parent / "main.py").write_text(SCRIPT + "# dirty\n")
    first = alpha.json("submit", str(spec))
    file, keys = folder / "x.intoto.jsonl", folder / "keys.txt"
    told = alpha.json("attestation", "create", first["id"], "--to", str(file))
    assert len(told["signers"]) == 1
    again = beta.json("rerun", first["image"])
    assert again["verdict"]["outcome"] == "identical"
    told = beta.json("attestation", "create", again["run"]["id"], "--to", str(file))
    assert (len(told["signers"]), told["outputs"], told["image"]) == (2, 1, first["image"])
    keys.write_text("# the team\n" + "".join(box.type("ledger", "key").out for box in (alpha, beta)))
    outputs = folder / "outputs"
    alpha.json("outputs", first["id"], "--to", str(outputs))
    nowhere = {"REPRISE_DATABASE_URL": "sqlite:////nowhere/x.db", "DOCKER_HOST": "unix:///nowhere/sock"}
    stranger = make_box(folder / "stranger", shared_base, **nowhere)
    return Two(alpha, beta, stranger, first["id"], again["run"]["id"], first["image"], file, keys, outputs)


def test_a_stranger_learns_who_vouches_for_what(two: Two) -> None:
    checked = two.check("--at-least", "2", "--file", str(two.outputs / "x.txt"), "--json")
    assert checked.code == 0, checked.out + checked.err
    (claim,) = checked.json["claims"]
    x = str(Digest.of_file(two.outputs / "x.txt"))
    assert (claim["image"], claim["job"], claim["outputs"]) == (two.image, "test", {"x.txt": x})
    assert claim["by"] == [box.json("ledger", "key")["key_id"] for box in (two.alpha, two.beta)]
    assert len(set(claim["by"])) == 2
    first, again = claim["runs"]
    assert (first["run"], again["run"]) == (two.run, two.rerun)
    assert again["verdicts"] == [f"identical with its original {two.run}"]
    assert first["verdicts"] == [], "it was attested before the rerun"
    assert first["dirty"] is True
    assert first["by"] == [claim["by"][0]]
    assert again["by"] == [claim["by"][1]]
    assert list(checked.json["files"].values()) == [["x.txt"]]
    said = two.check("--file", str(two.outputs / "x.txt")).out
    assert said.startswith(f"vouched for by {claim['by'][0]} and {claim['by'][1]}\n")
    assert "DIRTY" in said
    assert not (two.stranger.settings.home / "reprise.db").exists()
    assert not (two.stranger.settings.home / "keys").exists()


def test_what_differs_by_nature_or_was_altered_is_not_vouched_for(two: Two, tmp_path: Path) -> None:
    checked = two.check("--file", str(two.outputs / "when.log"))
    assert checked.code == 6
    assert "not an output of a vouched claim" in checked.out
    keys = read_public(str(two.keys))
    bundle = read_attestations(two.file.read_bytes(), "x")
    data = (two.outputs / "x.txt").read_bytes()
    for place in range(len(data)):
        assert check_attestations(bundle, keys, {"x": Digest.of(flipped(data, place))}).problems
    (tmp_path / "x.txt").write_bytes(flipped(data, 0))
    assert two.check("--file", str(tmp_path / "x.txt")).code == 6


@pytest.mark.parametrize("start", [0, *(pytest.param(n, marks=pytest.mark.acceptance) for n in (1, 2, 3))])
def test_every_flipped_byte_of_the_file_is_found(two: Two, tmp_path: Path, start: int) -> None:
    """Each fourth byte from `start` on."""
    keys = read_public(str(two.keys))
    lines = two.file.read_bytes().splitlines(keepends=True)
    whole = read_attestations(b"".join(lines), "x")
    assert check_attestations(whole, keys, {}, 2).problems == ()
    codes = set()
    for number, line in enumerate(lines):
        for place in range(start, len(line), 4):
            try:
                altered = read_attestations(flipped(line, place), "x")
            except UsageError:
                codes.add(2)
                continue
            codes.add(6)
            bundle = (*whole[:number], *altered, *whole[number + 1 :])
            assert check_attestations(bundle, keys, {}, 2).problems, (number, place)
    assert codes == {2, 6}
    # The same through the command: a signature that holds for something else, and no JSON at all.
    parsed = json.loads(lines[0])
    parsed["signatures"][0]["sig"] = parsed["signatures"][1]["sig"]
    spoilt = tmp_path / "spoilt.intoto.jsonl"
    spoilt.write_bytes(json.dumps(parsed).encode() + b"\n")
    checked = two.check(of=spoilt)
    assert checked.code == 6
    assert "NOT SOUND" in checked.out
    spoilt.write_bytes(lines[0][1:])
    checked = two.check(of=spoilt)
    assert checked.code == 2
    assert "not an attestation" in checked.err


def test_tools_not_written_here_verify_and_read_it(two: Two) -> None:
    keys = []
    for box in (two.alpha, two.beta):
        told = box.json("ledger", "key")
        assert box.type("ledger", "key", "--pem").out == told["pem"]
        keys.append(SSlibKey.from_crypto(load_pem_public_key(told["pem"].encode()), told["key_id"]))
    lines = two.file.read_text().splitlines()
    thresholds = [2, 1, 1]  # the claim, and what each tells of its run
    for line, threshold in zip(lines, thresholds, strict=True):
        foreign = ForeignEnvelope.from_dict(json.loads(line))
        assert len(foreign.verify(keys, threshold)) == threshold
        message = json_format.Parse(foreign.payload, StatementMessage(), ignore_unknown_fields=False)
        ForeignStatement.copy_from_pb(message).validate()
        assert dict(message.subject[0].digest) == {"sha256": two.image.removeprefix("sha256:")}


def test_what_cannot_be_vouched_for_is_refused(two: Two, tmp_path: Path) -> None:
    box = two.alpha
    with open_record(load(box.environ)) as record:
        queued, _ = record.submit(new_run())
    refused = box.type("attestation", "create", queued)
    assert refused.code == 2
    assert "is queued: there is nothing to vouch for" in refused.err
    noisy = box.json("submit", str(write_job(tmp_path / "noisy", NOISY)))
    other = box.json("rerun", noisy["id"], code=3)["run"]["id"]
    refused = box.type("attestation", "create", other, "--to", str(tmp_path / "no"))
    assert refused.code == 2
    assert "its verdict is different" in refused.err
    # Somebody writes the wished-for outcome into the database: the evidence says otherwise.
    with sqlite3.connect(box.environ["REPRISE_DATABASE_URL"].removeprefix("sqlite:///")) as database:
        database.execute("UPDATE verdict SET outcome = 'identical' WHERE outcome = 'different'")
    refused = box.type("attestation", "create", other, "--to", str(tmp_path / "no"))
    assert refused.code == 2
    assert "no verdict that the evidence bears out" in refused.err
    assert not (tmp_path / "no").exists()
    refused = box.type("attestation", "create", noisy["id"], "--to", str(two.file))
    assert refused.code == 2
    assert "another claim" in refused.err
    assert two.check("--at-least", "2").code == 0


def test_both_push_at_once_and_the_image_has_both(two: Two, hub: RegistryServer) -> None:
    jobs = [(two.alpha, two.run), (two.beta, two.rerun)]
    with ThreadPoolExecutor(2) as pool:
        done = list(
            pool.map(lambda job: job[0].type("attestation", "create", job[1], "--push", "--json"), jobs)
        )
    assert [one.code for one in done] == [0, 0], [one.err for one in done]
    reference = f"{hub.place(REPOSITORY)}@{two.image}"
    with Client(read_place(hub.place(REPOSITORY))) as client:
        attach(client, Digest(two.image), "application/vnd.in-toto.bundle", b"another tool's", {})
    checked = two.check("--at-least", "2", "--json", of=reference)
    assert checked.code == 0, checked.out + checked.err
    (claim,) = checked.json["claims"]
    assert {one["run"] for one in claim["runs"]} == {two.run, two.rerun}
    absent = two.check(of=reference.replace(two.image, f"sha256:{'0' * 64}"))
    assert absent.code == 2
    assert "nothing is attested" in absent.err
