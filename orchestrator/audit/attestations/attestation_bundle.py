"""Bundles: envelopes, one a line, in in-toto's format (`.intoto.jsonl`); merged, and checked by keys only.

A bundle has one envelope per claim, with the signature of each key that vouches for it, and provenances of
the runs that made it. The bundle itself is not signed: whoever hands it on can leave lines out, but not
change or invent any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from orchestrator.audit.attestations.dsse import (
    PAYLOAD_TYPE,
    Envelope,
    check,
    key_id,
    malformed,
    merge,
    parse_envelope,
)
from orchestrator.audit.attestations.statement import (
    ClaimStatement,
    ProvenanceStatement,
    Statement,
    read_statement,
)
from orchestrator.audit.keys import PublicKey
from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.spec.plain_file import open_plain
from orchestrator.value import Value

MOST_BYTES = 256 << 20  # of a bundle: 100,000 outputs take 16 MB in the claim, and in each run's line


class Attestation(NamedTuple):
    """An envelope, and the statement in it."""

    envelope: Envelope
    statement: Statement


Attestations = tuple[Attestation, ...]


def read_attestations(data: bytes, where: str) -> Attestations:
    """UsageError: not a bundle. The signatures are not checked."""
    if len(data) > MOST_BYTES:
        raise malformed(where, f"more than {MOST_BYTES} bytes")
    if not data.endswith(b"\n"):
        raise malformed(where, "its last line is cut off")
    return tuple(
        _read(line, f"{where}, line {number}") for number, line in enumerate(data[:-1].split(b"\n"), 1)
    )


def read_file(path: Path) -> Attestations:
    """UsageError: it is not there, or not a bundle."""
    with open_plain(path, named=True) as stream:
        return read_attestations(stream.read(MOST_BYTES + 1), str(path))


def _read(line: bytes, where: str) -> Attestation:
    try:
        envelope = parse_envelope(line)
        if envelope.payload_type != PAYLOAD_TYPE:
            raise ValueError(f"a payload of type {envelope.payload_type!r}")  # noqa: TRY301
        return Attestation(envelope, read_statement(envelope.payload))
    except ValueError as error:
        raise malformed(where, error) from None


def write_attestations(bundle: Attestations) -> bytes:
    """UsageError for a bundle that would be too long to read again."""
    data = "".join(one.envelope.to_line() for one in bundle).encode()
    if len(data) > MOST_BYTES:
        raise UsageError(f"more than {MOST_BYTES} bytes of attestations", "begin a new file")
    return data


def merge_attestations(one: Attestations, other: Attestations) -> Attestations:
    """Everything in either, claims first. A provenance in `other` replaces one of the same run and keys."""
    claims: dict[bytes, Attestation] = {}
    runs: dict[bytes, Attestation] = {}
    for item in (*one, *other):
        kind = claims if isinstance(item.statement, ClaimStatement) else runs
        before = kind.get(item.envelope.payload)
        kind[item.envelope.payload] = (
            item if before is None else item._replace(envelope=merge(before.envelope, item.envelope))
        )
    newest = {_identity(item): item for item in runs.values()}
    return (*claims.values(), *newest.values())


def _identity(item: Attestation) -> tuple[object, ...]:
    """What a later provenance of the same run by the same keys has in common: it has more verdicts."""
    assert isinstance(item.statement, ProvenanceStatement)  # noqa: S101  (for mypy)
    metadata = item.statement.predicate.run_details.metadata
    keys = tuple(sorted(one.keyid for one in item.envelope.signatures))
    return (metadata.invocation_id, tuple(sorted(item.statement.digests.items())), keys)


class SignedRun(Value):
    """What the holders of the given keys say of one run. It is as true as they are honest."""

    run: str
    box: str
    submitted_by: str
    finished_on: str | None
    commit: str | None
    dirty: bool
    verdicts: tuple[str, ...]  # `identical with its original RUN`
    by: tuple[str, ...]  # key ids


class Vouched(Value):
    """A claim, and who signed it."""

    image: str
    job: str
    outputs: dict[str, str]  # path -> digest
    by: tuple[str, ...]  # ids of keys that were given
    unknown: int  # signatures of others: they count for nothing
    runs: tuple[SignedRun, ...]


class CheckedAttestations(Value):
    claims: tuple[Vouched, ...]
    files: dict[str, tuple[str, ...]]  # file -> paths of outputs of vouched claims with these bytes
    problems: tuple[str, ...]  # empty: everything holds


def check_attestations(
    bundle: Attestations, keys: Sequence[PublicKey], files: Mapping[str, Digest], least: int = 1
) -> CheckedAttestations:
    """Whether at least `least` keys vouch for each claim, and whether each file is an output of one.

    UsageError where the bundle has no claim.
    """
    claims = [item for item in bundle if isinstance(item.statement, ClaimStatement)]
    if not claims:
        raise UsageError("there is no claim in it, only provenances", "attest the run again, with --to FILE")
    problems: list[str] = []
    signed = [pair for item in bundle if (pair := _signed_run(item, keys, problems)) is not None]
    vouched = [_vouched(item, keys, signed, least, problems) for item in claims]
    for provenance, run in signed:
        if all(provenance.digests != item.statement.digests for item in claims):
            problems.append(f"{_names(run.by)} tell of run {run.run} with another image or other outputs")
    found: dict[str, tuple[str, ...]] = {}
    signed_outputs = [item for one in vouched if one.by for item in one.outputs.items()]
    for name, digest in files.items():
        found[name] = tuple(path for path, output in signed_outputs if output == digest)
        if not found[name]:
            problems.append(
                f"{name} ({digest}) is not an output of a vouched claim: altered, or of another run"
            )
    return CheckedAttestations(claims=tuple(vouched), files=found, problems=tuple(problems))


def _signed_run(
    item: Attestation, keys: Sequence[PublicKey], problems: list[str]
) -> tuple[ProvenanceStatement, SignedRun] | None:
    """What a provenance says; None where no given key signed it."""
    if not isinstance(item.statement, ProvenanceStatement):
        return None
    checked = check(item.envelope, keys)
    problems += checked.bad
    if not checked.good:
        return None
    predicate = item.statement.predicate
    internal = predicate.build_definition.internal_parameters
    source = next(
        (one for one in predicate.build_definition.resolved_dependencies if one.name == "source"), None
    )
    verdicts = [one.annotations or {} for one in predicate.run_details.byproducts if one.name == "verdict"]
    run = predicate.run_details.metadata.invocation_id
    return item.statement, SignedRun(
        run=run,
        box=predicate.run_details.builder.id,
        submitted_by=str(internal.get("submittedBy")),
        finished_on=predicate.run_details.metadata.finished_on,
        commit=(source.digest or {}).get("gitCommit") if source else None,
        dirty=bool(source and (source.annotations or {}).get("dirty")),
        verdicts=tuple(_verdict_text(one, run) for one in verdicts),
        by=tuple(map(key_id, checked.good)),
    )


def _verdict_text(verdict: Mapping[str, object], run: str) -> str:
    other = "original" if verdict.get("rerun") == run else "rerun"
    return f"{verdict.get('outcome')} with its {other} {verdict.get(other)}"


def _vouched(
    item: Attestation,
    keys: Sequence[PublicKey],
    signed: Iterable[tuple[ProvenanceStatement, SignedRun]],
    least: int,
    problems: list[str],
) -> Vouched:
    assert isinstance(item.statement, ClaimStatement)  # noqa: S101  (for mypy)
    statement, checked = item.statement, check(item.envelope, keys)
    problems += checked.bad
    if len(checked.good) < least:
        count = len(checked.good) or "none"
        wanted = f"; {least} are asked for" if least > 1 else ""
        problems.append(f"the claim on image {statement.image} is signed by {count} of the keys{wanted}")
    return Vouched(
        image=statement.image,
        job=str(statement.predicate.program.get("name")),
        outputs=statement.outputs,
        by=tuple(map(key_id, checked.good)),
        unknown=len(checked.unknown),
        runs=tuple(one for provenance, one in signed if provenance.digests == statement.digests),
    )


def _names(names: Sequence[str]) -> str:
    return " and ".join(names)
