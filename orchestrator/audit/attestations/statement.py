"""What is signed: in-toto Statements v1, in two kinds, from a run's record.

A claim holds only what a run and its identical rerun have in common, in canonical JSON: whoever repeats it
arrives at the same bytes, and signs them, too. A provenance (SLSA v1) tells of one run: which box, when, with
which packages and code, and its verdicts. docs/attestations.md says what each field means.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from orchestrator import __version__
from orchestrator.audit.exports.purl import purl
from orchestrator.digest import Digest, canonical_json
from orchestrator.image.image_model import MEDIA_MANIFEST
from orchestrator.record.run_record import RunRecord, VerdictLine
from orchestrator.run.attempt_model import OutputStatus
from orchestrator.run.metrics.event_files import is_event_file
from orchestrator.spec.globs import matcher
from orchestrator.untrusted_json import strict_json
from orchestrator.value import Value

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PROVENANCE: Final = "https://slsa.dev/provenance/v1"
CLAIM: Final = "urn:reprise:claim:v1"
BUILD_TYPE: Final = "urn:reprise:run:v1"
BOX = "urn:reprise:box:"  # and the keyed hash of the machine
VERDICT = "urn:reprise:verdict:"  # and the two runs
IMAGE = "image"  # subject's name; outputs are `outputs/PATH`, so no output can pass for it
OUTPUTS = "outputs/"


class _Wire(Value):
    """camelCase in JSON, as in-toto writes it."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)


class Resource(_Wire):
    """The members of in-toto's ResourceDescriptor that we use."""

    name: str | None = None
    uri: str | None = None
    digest: dict[str, str] | None = None  # algorithm -> hex
    media_type: str | None = None
    annotations: dict[str, Any] | None = None


class Claim(_Wire):
    """This program in this image over this base left these bytes."""

    image: Digest  # manifest
    config: Digest  # the image's
    base: Digest  # manifest
    program: dict[str, Any]  # the image's label: command, params, seed, determinism settings, input digests
    volatile: tuple[str, ...]  # globs of outputs that the spec lets differ: not in the subject


class BuildDefinition(_Wire):
    build_type: Literal["urn:reprise:run:v1"] = BUILD_TYPE
    external_parameters: dict[str, Any]
    internal_parameters: dict[str, Any]
    resolved_dependencies: tuple[Resource, ...]


class Builder(_Wire):
    id: str
    version: dict[str, str]


class Metadata(_Wire):
    invocation_id: str  # the run's
    started_on: str | None = None
    finished_on: str | None = None


class RunDetails(_Wire):
    builder: Builder
    metadata: Metadata
    byproducts: tuple[Resource, ...]


class Provenance(_Wire):
    build_definition: BuildDefinition
    run_details: RunDetails


class _Statement(_Wire):
    type: Literal["https://in-toto.io/Statement/v1"] = Field(STATEMENT, alias="_type")
    subject: Annotated[tuple[Resource, ...], Field(min_length=1)]

    def to_bytes(self) -> bytes:
        return canonical_json(self.model_dump(mode="json", by_alias=True, exclude_none=True))

    @model_validator(mode="after")
    def _plain(self) -> Self:
        """Each subject has a name of its own and one SHA-256, and one is the image."""
        names = [one.name for one in self.subject]
        if None in names or len(set(names)) < len(names) or IMAGE not in names:
            raise ValueError("subjects have names, each its own, and one is the image")
        if any((one.digest or {}).keys() != {"sha256"} for one in self.subject):
            raise ValueError("each subject has one digest, its SHA-256")
        if any(Digest.parse(text) is None for text in self.digests.values()):
            raise ValueError("a subject's SHA-256 is not one")
        return self

    @property
    def image(self) -> str:
        """`sha256:…`"""
        return self.digests[IMAGE]

    @property
    def outputs(self) -> dict[str, str]:
        """Path -> `sha256:…`."""
        found = self.digests
        return {name.removeprefix(OUTPUTS): found[name] for name in found if name.startswith(OUTPUTS)}

    @property
    def digests(self) -> dict[str, str]:
        """Name of a subject -> `sha256:…`."""
        return {one.name or "": f"sha256:{(one.digest or {}).get('sha256', '')}" for one in self.subject}


class ClaimStatement(_Statement):
    predicate_type: Literal["urn:reprise:claim:v1"] = CLAIM
    predicate: Claim

    @model_validator(mode="after")
    def _of_its_image(self) -> Self:
        if self.predicate.image != self.image:
            raise ValueError("the claim's image is not that of its subject")
        return self


class ProvenanceStatement(_Statement):
    predicate_type: Literal["https://slsa.dev/provenance/v1"] = PROVENANCE
    predicate: Provenance


Statement = ClaimStatement | ProvenanceStatement
_READ: TypeAdapter[Statement] = TypeAdapter(
    Annotated[ClaimStatement | ProvenanceStatement, Field(discriminator="predicate_type")]
)


def read_statement(payload: bytes) -> Statement:
    """The statement in bytes that `to_bytes` made. ValueError for others, even with the same meaning."""
    try:
        statement = _READ.validate_python(strict_json(payload))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"no statement that is known here: {where}: {first['msg']}") from None
    if statement.to_bytes() != payload:
        raise ValueError("a statement that is not in canonical JSON")
    return statement


def claim_of(run: RunRecord, volatile: Sequence[str]) -> ClaimStatement:
    """What a run that succeeded claims. `volatile`: globs of the original's spec, which its reruns follow."""
    return ClaimStatement(
        subject=_subjects(run, volatile),
        predicate=Claim(
            image=run.image,
            config=run.config_digest,
            base=run.base.digest,
            program=json.loads(run.program.to_label()),
            volatile=tuple(sorted(set(volatile))),
        ),
    )


def _subjects(run: RunRecord, volatile: Sequence[str]) -> tuple[Resource, ...]:
    """Image and outputs, without volatile ones and event files, which hold clocks: verdicts ignore both."""
    is_volatile = matcher(volatile)
    named = {
        f"{OUTPUTS}{one.path}": _sha256(one.digest)
        for one in run.outputs
        if one.status is OutputStatus.KEPT
        and one.digest is not None
        and not is_volatile(one.path)
        and not is_event_file(one.path)
    }
    image = Resource(name=IMAGE, digest=_sha256(run.image), media_type=MEDIA_MANIFEST)
    return (image, *(Resource(name=name, digest=named[name]) for name in sorted(named)))


def _sha256(digest: Digest) -> dict[str, str]:
    return {"sha256": digest.hex}


def provenance_of(
    run: RunRecord, subject: tuple[Resource, ...], verdicts: Iterable[VerdictLine]
) -> ProvenanceStatement:
    """SLSA provenance of a finished run over the subject of its claim."""
    return ProvenanceStatement(
        subject=subject,
        predicate=Provenance(
            build_definition=BuildDefinition(
                external_parameters={"image": run.image, "program": json.loads(run.program.to_label())},
                internal_parameters=_internal(run),
                resolved_dependencies=tuple(_dependencies(run)),
            ),
            run_details=RunDetails(
                builder=Builder(id=f"{BOX}{run.box or 'unknown'}", version={"reprise": __version__}),
                metadata=Metadata(
                    invocation_id=run.id,
                    started_on=_moment(run.started_at),
                    finished_on=_moment(run.finished_at),
                ),
                byproducts=tuple(_byproducts(run, verdicts)),
            ),
        ),
    )


def _internal(run: RunRecord) -> dict[str, Any]:
    """What the program does not ask for: limits, hardware, and the settings as they were read back."""
    changed: dict[str, list[Any]] = {}
    for readback in run.readbacks:
        changed |= {name: list(pair) for name, pair in readback.changed.items()}
    start = next((one.start for one in run.readbacks if one.start is not None), None)
    bits = run.fingerprint
    return {
        "attempt": run.attempt,
        "bitClass": bits and {"digest": bits.bit_digest, "facts": bits.bit_class},
        "leversChanged": changed,  # by the script: [at its start, at its end]
        "leversReadBack": start,
        "resources": run.resources.model_dump(mode="json"),
        "submittedBy": run.submitted_by,
    }


def _dependencies(run: RunRecord) -> Iterable[Resource]:
    yield Resource(name="base", digest=_sha256(run.base.digest), annotations={"name": run.base.name})
    git = run.git
    if git is not None:
        at = f"git+{git.remote}@{git.commit}" if git.remote else None
        state = {"dirty": git.dirty}
        yield Resource(name="source", uri=at, digest={"gitCommit": git.commit}, annotations=state)
        for path, commit in sorted(git.submodules.items()):
            yield Resource(name=f"source/{path}", digest={"gitCommit": commit})
        if git.patch_digest is not None:
            yield Resource(name="source.patch", digest=_sha256(git.patch_digest))
    for name, digest in sorted(run.program.inputs.items()):
        yield Resource(name=f"inputs/{name}", digest=_sha256(digest), annotations=_origin(run, name))
    for name, version in sorted(run.packages.items()):
        yield Resource(name=name, uri=purl(name, version))


def _origin(run: RunRecord, name: str) -> dict[str, Any] | None:
    """Which data set or output an input is, and what was asked for; None for one that was at a path."""
    origin = run.input_origins.get(name)
    if origin is None or origin.reference is None:
        return None
    return {"asked": origin.asked, "origin": origin.reference}


def _byproducts(run: RunRecord, verdicts: Iterable[VerdictLine]) -> Iterable[Resource]:
    if run.log is not None:
        yield Resource(name="log", digest=_sha256(run.log.digest))
    for trace in run.traces:
        yield Resource(name=f"trace/{trace.rank}", digest=_sha256(trace.digest))
    if run.metrics:
        # As texts: JSON has no NaN, and other readers take numbers for doubles of their own.
        values = {name: repr(value) for name, value in sorted(run.metrics.items())}
        yield Resource(name="metrics", uri=f"urn:reprise:metrics:{run.id}", annotations=values)
    for line in verdicts:
        yield Resource(
            name="verdict",
            uri=f"{VERDICT}{line.original}:{line.run}",
            annotations={
                "original": line.original,
                "rerun": line.run,
                "outcome": line.outcome,
                "summary": str(line.document.get("summary", "")),
            },
        )


def _moment(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
