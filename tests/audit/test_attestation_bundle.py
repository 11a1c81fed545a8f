"""Bundles: merged from several boxes, and checked with public keys only."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestrator.audit.attestations.attest_run import add_to_file
from orchestrator.audit.attestations.attestation_bundle import (
    Attestation,
    Attestations,
    check_attestations,
    merge_attestations,
    read_attestations,
    read_file,
    write_attestations,
)
from orchestrator.audit.attestations.dsse import (
    Envelope,
    EnvelopeSignature,
    add_signature,
    key_id,
    parse_envelope,
)
from orchestrator.audit.attestations.statement import (
    BuildDefinition,
    Builder,
    Claim,
    ClaimStatement,
    Metadata,
    Provenance,
    ProvenanceStatement,
    Resource,
    RunDetails,
    Statement,
)
from orchestrator.audit.keys import PublicKey, SigningKey, signing_key
from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.settings import load

IMAGE, MODEL = Digest.of(b"image"), Digest.of(b"model")


def subject(model: Digest = MODEL) -> tuple[Resource, ...]:
    image = Resource(name="image", digest={"sha256": IMAGE.hex})
    return (image, Resource(name="outputs/model.pt", digest={"sha256": model.hex}))


def claim(model: Digest = MODEL) -> ClaimStatement:
    about = Claim(image=IMAGE, config=IMAGE, base=IMAGE, program={"name": "digits"}, volatile=())
    return ClaimStatement(subject=subject(model), predicate=about)


def told(run: str, verdicts: int = 0, model: Digest = MODEL) -> ProvenanceStatement:
    said = {"original": "o", "rerun": run, "outcome": "identical"}
    byproducts = tuple(Resource(name="verdict", uri=f"urn:{n}", annotations=said) for n in range(verdicts))
    return ProvenanceStatement(
        subject=subject(model),
        predicate=Provenance(
            build_definition=BuildDefinition(
                external_parameters={}, internal_parameters={"submittedBy": "ada"}, resolved_dependencies=()
            ),
            run_details=RunDetails(
                builder=Builder(id="urn:reprise:box:b0c5", version={}),
                metadata=Metadata(invocation_id=run),
                byproducts=byproducts,
            ),
        ),
    )


def signed(statement: Statement, *keys: SigningKey) -> Attestation:
    envelope = Envelope(payload=statement.to_bytes())
    for key in keys:
        envelope = add_signature(envelope, key)
    return Attestation(envelope, statement)


class Keys(NamedTuple):
    ada: SigningKey
    bob: SigningKey

    @property
    def public(self) -> list[PublicKey]:
        return [self.ada.public, self.bob.public]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(*(signing_key(load({"REPRISE_HOME": str(tmp_path / name)})) for name in ("ada", "bob")))


@pytest.fixture
def both(keys: Keys) -> Attestations:
    """Ada made it, Bob repeated it."""
    first = (signed(claim(), keys.ada), signed(told("r1"), keys.ada))
    second = (signed(claim(), keys.bob), signed(told("r2", 1), keys.bob))
    return merge_attestations(first, second)


def test_two_boxes_sign_one_claim(keys: Keys, both: Attestations) -> None:
    assert len(both) == 3
    assert [one.keyid for one in both[0].envelope.signatures] == [key_id(key) for key in keys.public]
    checked = check_attestations(both, keys.public, {"m": MODEL}, least=2)
    assert checked.problems == ()
    (vouched,) = checked.claims
    assert vouched.by == tuple(key_id(key) for key in keys.public)
    assert vouched.outputs == {"model.pt": MODEL}
    assert [(one.run, one.verdicts) for one in vouched.runs] == [
        ("r1", ()),
        ("r2", ("identical with its original o",)),
    ]
    assert checked.files == {"m": ("model.pt",)}


def test_merging_again_changes_nothing_and_order_does_not_matter(keys: Keys, both: Attestations) -> None:
    assert merge_attestations(both, both) == both
    assert read_attestations(write_attestations(both), "x") == both
    assert check_attestations(tuple(reversed(both)), keys.public, {}, 2).problems == ()
    newer = (signed(told("r1", 2), keys.ada),)
    assert len(merge_attestations(both, newer)) == 3, "what ada told of r1 before is replaced"
    assert len(merge_attestations(both, (signed(told("r1", 2), keys.bob),))) == 4, "by ada only"


def test_what_a_stranger_signed_is_not_repeated(keys: Keys, both: Attestations) -> None:
    checked = check_attestations(both, [keys.ada.public], {})
    assert checked.problems == ()
    (vouched,) = checked.claims
    assert vouched.by == (key_id(keys.ada.public),)
    assert (vouched.unknown, [one.run for one in vouched.runs]) == (1, ["r1"])
    assert "2 are asked for" in check_attestations(both, [keys.ada.public], {}, least=2).problems[0]
    other = (signed(claim(Digest.of(b"forged")), keys.bob), *both)
    checked = check_attestations(other, [keys.ada.public], {"m": Digest.of(b"forged")})
    assert len(checked.problems) == 2
    assert "none of the keys" in checked.problems[0]
    assert "not an output of a vouched claim" in checked.problems[1]


def test_a_run_with_other_outputs_is_named(keys: Keys, both: Attestations) -> None:
    odd = (*both, signed(told("r3", model=Digest.of(b"other")), keys.bob))
    (problem,) = check_attestations(odd, keys.public, {}).problems
    assert "r3" in problem


def test_without_a_claim_there_is_nothing_to_check(keys: Keys) -> None:
    with pytest.raises(UsageError, match="no claim"):
        check_attestations((signed(told("r1"), keys.ada),), keys.public, {})


def test_a_claim_takes_no_more_signatures_than_can_be_read(keys: Keys) -> None:
    envelope = signed(claim()).envelope
    many = tuple(EnvelopeSignature(keyid=f"k{number}", sig=b"x") for number in range(1000))
    full = envelope.model_copy(update={"signatures": many})
    assert parse_envelope(full.to_line()) == full
    with pytest.raises(UsageError, match="more than 1000"):
        add_signature(full, keys.ada)


def test_what_is_no_bundle_is_refused(keys: Keys, both: Attestations, tmp_path: Path) -> None:
    data = write_attestations(both)
    other = Envelope(payload=both[0].envelope.payload, payload_type="text/plain")
    foreign = add_signature(other, keys.ada).to_line().encode()
    for spoilt in (b"", b"\n", data[:-1], data[:-9], data + b"\n", b"\n" + data, data + b"x\n", foreign):
        with pytest.raises(UsageError, match="not an attestation") as caught:
            read_attestations(spoilt, "x.jsonl")
        assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match=r"cannot read .*absent"):
        read_file(tmp_path / "absent")


def test_a_file_of_another_claim_stays_as_it_was(keys: Keys, both: Attestations, tmp_path: Path) -> None:
    path = tmp_path / "a.intoto.jsonl"
    assert add_to_file(path, both) == both
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"another claim, which differs in outputs/model\.pt"):
        add_to_file(path, (signed(claim(Digest.of(b"other")), keys.ada),))
    assert path.read_bytes() == before
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(UsageError, match="link"):
        add_to_file(link, both)
    (tmp_path / "text").write_text("mine")
    with pytest.raises(UsageError, match="not an attestation"):
        add_to_file(tmp_path / "text", both)
    assert (tmp_path / "text").read_text() == "mine"


def _add(job: tuple[Path, Path]) -> None:
    home, path = job
    key = signing_key(load({"REPRISE_HOME": str(home)}))
    add_to_file(path, (signed(claim(), key), signed(told(home.name), key)))


def test_many_that_sign_one_file_at_once_are_all_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a.intoto.jsonl"
    jobs = [(tmp_path / f"box{number}", path) for number in range(12)]
    with multiprocessing.get_context("fork").Pool(6) as pool:
        pool.map(_add, jobs)
    bundle = read_file(path)
    assert len(bundle) == 13
    assert len(bundle[0].envelope.signatures) == 12
