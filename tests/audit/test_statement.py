"""Statements: what a run and its identical rerun claim together, and what is told of one run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as ForeignStatement
from support.finished_run import VOLATILE, make_run, verdict
from support.records import digest_of as digest
from support.records import kept

from orchestrator.audit.attestations.statement import claim_of, provenance_of, read_statement
from orchestrator.digest import canonical_json
from orchestrator.image.image_model import BaseRef
from orchestrator.record.run_record import InputOrigin
from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.spec.jobfile.job_spec import Resources
from orchestrator.spec.program import Program


def test_an_identical_rerun_elsewhere_claims_the_same_bytes() -> None:
    again = make_run(
        id="fedcba9876543210",
        rerun_of="0123456789abcdef",
        submitted_by="bob",
        box="f00d",
        box_name="beta",
        attempt=2,
        created_at=datetime(2027, 1, 1, tzinfo=UTC),
        resources=Resources(memory=1 << 30, timeout=3.0),
        input_paths={"data": "/data"},
        outputs=tuple(
            reversed((kept("model.pt", "model"), kept("image", "an output"), kept("train.log", "x")))
        ),
        fingerprint=None,
        git=None,
        metrics={},
    )
    assert claim_of(again, VOLATILE).to_bytes() == claim_of(make_run(), VOLATILE).to_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": (kept("model.pt", "another"), kept("image", "an output"))},
        {"outputs": (kept("model2.pt", "model"), kept("image", "an output"))},
        {"outputs": (kept("model.pt", "model"),)},
        {"image": digest("another")},
        {"config_digest": digest("another")},
        {"base": BaseRef(name="cpu", digest=digest("another"), config_digest=digest("base config"))},
        {"program": Program(name="digits", command=("python", "train.py"), params={"lr": 0.2})},
    ],
)
def test_whatever_defines_the_result_is_in_the_claim(changes: dict[str, Any]) -> None:
    claim, other = claim_of(make_run(), VOLATILE), claim_of(make_run(**changes), VOLATILE)
    assert claim.to_bytes() != other.to_bytes()


def test_what_differs_by_nature_is_not_claimed() -> None:
    outputs = (
        *make_run().outputs,
        kept("runs/events.out.tfevents.1764.host.7", "clock"),
        Output(path="link", status=OutputStatus.REJECTED, reason="symlink"),
    )
    claim = claim_of(make_run(outputs=outputs), VOLATILE)
    assert claim.outputs == {"image": digest("an output"), "model.pt": digest("model")}
    assert claim.image == digest("image"), "an output of that name does not pass for it"
    assert claim.predicate.volatile == VOLATILE


def test_the_name_that_a_row_gives_a_box_is_not_signed() -> None:
    runs = make_run(box_name="alpha"), make_run(box_name="another's")
    one, other = (provenance_of(run, claim_of(run, VOLATILE).subject, []).to_bytes() for run in runs)
    assert one == other


def test_the_provenance_tells_what_the_record_knows() -> None:
    run = make_run()
    told = provenance_of(run, claim_of(run, VOLATILE).subject, [verdict(run.id, "fedcba9876543210")])
    document = json.loads(told.to_bytes())
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    build, details = document["predicate"]["buildDefinition"], document["predicate"]["runDetails"]
    assert build["externalParameters"]["image"] == run.image
    assert build["externalParameters"]["program"] == json.loads(run.program.to_label())
    assert build["internalParameters"]["bitClass"]["digest"] == digest("bits")
    assert build["internalParameters"]["leversChanged"] == {"benchmark": [False, True]}
    by_name = {one["name"]: one for one in build["resolvedDependencies"]}
    assert by_name["base"]["digest"] == {"sha256": digest("base").hex}
    assert by_name["source"]["digest"] == {"gitCommit": "c" * 40}
    assert by_name["source"]["uri"] == f"git+https://example.org/ada/digits@{'c' * 40}"
    assert by_name["source.patch"]["digest"] == {"sha256": digest("patch").hex}
    assert by_name["inputs/data"]["digest"] == {"sha256": digest("data").hex}
    assert "annotations" not in by_name["inputs/data"], "it lay at a path"
    assert by_name["torch"]["uri"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert by_name["Typing_Extensions"]["uri"] == "pkg:pypi/typing-extensions@4.16"
    assert details["builder"]["id"] == "urn:reprise:box:b0c5"
    assert details["metadata"] == {
        "invocationId": run.id,
        "startedOn": "2026-11-23T12:00:13Z",
        "finishedOn": "2026-11-23T12:00:13Z",
    }
    (said,) = [one["annotations"] for one in details["byproducts"] if one["name"] == "verdict"]
    assert said["outcome"] == "identical"
    text = told.to_bytes().decode()
    assert "/home/ada" not in text, "paths of the box are nobody's business"
    assert "host" not in text, "nor who it is"


@pytest.mark.parametrize(
    ("origin", "reference"),
    [
        ({"asked": "data:mnist", "data": "mnist", "version": 2}, "data:mnist@2"),
        ({"asked": "run:train@latest/ckpt", "run": "ab" * 8, "path": "ckpt"}, f"run:{'ab' * 8}/ckpt"),
        ({"asked": "run:train@latest", "run": "ab" * 8, "path": ""}, f"run:{'ab' * 8}"),
    ],
)
def test_the_provenance_says_what_an_input_was_looked_up_as(origin: dict[str, Any], reference: str) -> None:
    run = make_run(input_origins={"data": InputOrigin(**origin)})
    told = provenance_of(run, claim_of(run, VOLATILE).subject, [])
    [item] = [
        one for one in told.predicate.build_definition.resolved_dependencies if one.name == "inputs/data"
    ]
    assert item.annotations == {"asked": origin["asked"], "origin": reference}
    assert claim_of(run, VOLATILE) == claim_of(make_run(), VOLATILE), "a claim is of the bytes alone"


def test_foreign_tools_read_both_kinds_without_a_field_that_they_do_not_know() -> None:
    run = make_run()
    claim = claim_of(run, VOLATILE)
    for statement in (claim, provenance_of(run, claim.subject, [verdict(run.id, "fedcba9876543210")])):
        message = statement_pb2.Statement()
        json_format.Parse(statement.to_bytes(), message, ignore_unknown_fields=False)
        foreign = ForeignStatement.copy_from_pb(message)
        foreign.validate()
        assert [one.name for one in message.subject] == ["image", "outputs/image", "outputs/model.pt"]
        assert dict(message.subject[2].digest) == {"sha256": digest("model").hex}
    predicate = provenance_pb2.Provenance()
    json_format.ParseDict(json_format.MessageToDict(message.predicate), predicate)
    assert predicate.run_details.metadata.invocation_id == run.id
    assert predicate.run_details.metadata.started_on.ToDatetime() == datetime(2026, 11, 23, 12, 0, 13)
    assert predicate.build_definition.build_type == "urn:reprise:run:v1"


def test_a_run_of_which_little_is_known_can_be_told() -> None:
    bare = make_run(
        outputs=(), packages={}, fingerprint=None, git=None, readbacks=(), log=None, box=None, metrics={}
    )
    claim = claim_of(bare, ())
    assert [one.name for one in claim.subject] == ["image"]
    for statement in (claim, provenance_of(bare, claim.subject, ())):
        assert read_statement(statement.to_bytes()) == statement


def _without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda document: document.pop(name)


def _subject(**members: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["subject"].append(members)


@pytest.mark.parametrize(
    "spoil",
    [
        _without("_type"),
        _without("subject"),
        _without("predicateType"),
        _without("predicate"),
        lambda document: document.update(predicateType="https://slsa.dev/provenance/v0.2"),
        lambda document: document.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda document: document.update(subject=[]),
        lambda document: document["subject"].pop(0),
        lambda document: document["predicate"].update(more=1),
        lambda document: document["predicate"].update(image=digest("another")),
        _subject(name="image", digest={"sha256": "0" * 64}),
        _subject(name="x", digest={"sha256": "0" * 63}),
        _subject(name="x", digest={"sha1": "0" * 40}),
        _subject(name="x"),
        _subject(digest={"sha256": "0" * 64}),
    ],
)
def test_what_is_no_statement_is_refused(spoil: Callable[[dict[str, Any]], object]) -> None:
    data = claim_of(make_run(), VOLATILE).to_bytes()
    assert read_statement(data).to_bytes() == data
    document = json.loads(data)
    spoil(document)
    with pytest.raises(ValueError):
        read_statement(canonical_json(document))


def test_only_canonical_json_is_a_payload() -> None:
    data = claim_of(make_run(), VOLATILE).to_bytes()
    with pytest.raises(ValueError, match="canonical"):
        read_statement(data + b"\n")
    with pytest.raises(ValueError, match="twice"):
        read_statement(data.replace(b"{", b'{"_type":"x",', 1))
