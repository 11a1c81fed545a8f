"""attest: a run's claim and provenance, signed with this box's key, beside what others signed."""

from __future__ import annotations

from pathlib import Path

from orchestrator.audit.attestations.attestation_bundle import (
    Attestation,
    Attestations,
    merge_attestations,
    read_file,
    write_attestations,
)
from orchestrator.audit.attestations.dsse import Envelope, add_signature
from orchestrator.audit.attestations.shared_claim import original_claim, rerun_claim
from orchestrator.audit.attestations.statement import ClaimStatement, Statement, provenance_of
from orchestrator.audit.keys import SigningKey, signing_key
from orchestrator.durable import locked, write_bytes
from orchestrator.errors import AuditError, UsageError
from orchestrator.launch.judge.verify_verdicts import verify
from orchestrator.launch.session import Session
from orchestrator.record.run_record import RunRecord, VerdictLine
from orchestrator.run.attempt_model import State
from orchestrator.run.box_seal import is_sealed
from orchestrator.run.hardware import box_id
from orchestrator.verdict.verdict_model import Outcome


def attest(session: Session, run: RunRecord) -> Attestations:
    """The run's claim and provenance, signed by this box's key. A rerun's claim is its original's.

    UsageError: the run did not succeed, was not executed by this box as it is recorded, or is a rerun that
    was not judged identical. AuditError: the stored evidence gives another verdict than the stored one.
    """
    if run.state is not State.SUCCEEDED:
        raise UsageError(
            f"run {run.id} is {run.state.value}: there is nothing to vouch for", "attest a run that succeeded"
        )
    if run.box != box_id(session.settings):
        raise UsageError(
            f"run {run.id} was executed by box {run.box_name or run.box}, not by this one",
            "attest it there; or `reprise rerun` it here, and attest the rerun",
        )
    if not made_here(session, run):
        why = (
            f"it was imported from {run.imported}" if run.imported else "its record bears no seal of this box"
        )
        raise UsageError(
            f"nothing proves that this box executed run {run.id} as it is recorded: {why}",
            f"`reprise audit` says what was altered; or `reprise rerun {run.id}`, and attest the rerun",
        )
    verdicts = [
        line for line in sound_verdicts(session, run) if made_here(session, session.record.run(line.run))
    ]
    original = session.record.run(run.rerun_of) if run.rerun_of else run
    claim = original_claim(original)
    if run.rerun_of is not None:
        _check_rerun(run, original, claim, verdicts)
    key = signing_key(session.settings)
    told = provenance_of(_with_proved_origins(session, run), claim.subject, verdicts)
    return (_sign(claim, key), _sign(told, key))


def _with_proved_origins(session: Session, run: RunRecord) -> RunRecord:
    """A rerun has its original's origins, which may be a bundle's words: this record must bear them out."""
    proved = session.record.history.proved_origins(run.id)
    origins = {name: origin for name, origin in run.input_origins.items() if name in proved}
    return run.model_copy(update={"input_origins": origins})


def made_here(session: Session, run: RunRecord) -> bool:
    """Whether this box executed the run, and its rows are unchanged since: the run's seal says so.

    The column `box` proves nothing: whoever brings a bundle or writes the database can fill it.
    """
    found = session.record.sealed(run.id)
    return run.box == box_id(session.settings) and found is not None and is_sealed(session.settings, *found)


def _sign(statement: Statement, key: SigningKey) -> Attestation:
    return Attestation(add_signature(Envelope(payload=statement.to_bytes()), key), statement)


def sound_verdicts(session: Session, run: RunRecord) -> list[VerdictLine]:
    """The run's verdicts, as rerun or original, that the stored evidence still gives.

    Each has a summary made today: anyone may have written the one in the row.
    """
    lines = session.record.history.verdicts(run.id)
    return [
        line.model_copy(update={"document": {**line.document, "summary": checked.summary}})
        for line, checked in zip(lines, verify(session, lines), strict=True)
        if checked.sound
    ]


def _check_rerun(
    run: RunRecord, original: RunRecord, claim: ClaimStatement, verdicts: list[VerdictLine]
) -> None:
    """UsageError where the rerun was not judged identical, AuditError where its claim is another."""
    mine = [line for line in verdicts if (line.run, line.original) == (run.id, original.id)]
    if not mine or mine[-1].outcome != Outcome.IDENTICAL.value:
        said = (
            f"its verdict is {mine[-1].outcome}" if mine else "it has no verdict that the evidence bears out"
        )
        raise UsageError(
            f"run {run.id} is a rerun of {original.id}, but {said}: it cannot vouch for the same claim",
            f"`reprise audit --only verdicts {run.id}` computes them again; attest the original by itself",
        )
    own = rerun_claim(run, original)
    if own.to_bytes() != claim.to_bytes():
        raise AuditError(
            f"run {run.id} is judged identical with {original.id}; its claim differs: {_apart(own, claim)}",
            "`reprise audit` says what was altered",
        )


def _apart(own: Statement, claim: Statement) -> str:
    a, b = own.digests, claim.digests
    names = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    return ", ".join(names[:3]) if names else "another program"


def add_to_file(path: Path, bundle: Attestations) -> Attestations:
    """Merge a bundle into a file, which others may have signed, or make the file. Returns the merged bundle.

    UsageError: the file is not a bundle, is of another claim, or cannot be written; it stays as it was.
    """
    try:
        with locked(path.absolute().parent):
            there = _there(path)
            _same_claim(path, there, bundle)
            merged = merge_attestations(there, bundle)
            write_bytes(path, write_attestations(merged))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", "name a file that you may write"
        ) from error
    return merged


def _there(path: Path) -> Attestations:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UsageError(f"{path} is a link or a special file", "name a plain file, or a new one")
    return read_file(path) if path.exists() and path.stat().st_size else ()


def _same_claim(path: Path, there: Attestations, bundle: Attestations) -> None:
    (mine,) = (item for item in bundle if isinstance(item.statement, ClaimStatement))
    claims = [item for item in there if isinstance(item.statement, ClaimStatement)]
    if not claims or mine.envelope.payload in (item.envelope.payload for item in claims):
        return
    raise UsageError(
        f"{path} holds another claim, which differs in {_apart(mine.statement, claims[0].statement)}",
        "name another file: each claim has one of its own",
    )
