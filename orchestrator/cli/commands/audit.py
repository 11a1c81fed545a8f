"""reprise audit"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import PathType, json_option, read_since

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.audit.findings import Finding
    from orchestrator.cli.terminal.progress_bar import ProgressBar
    from orchestrator.errors import ExitCode
    from orchestrator.launch.session import Session

PARTS = ("ledger", "rows", "runs", "blobs", "verdicts", "images", "engine", "registry")


@click.command("audit")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--job", help="With --only verdicts: of this job.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Only this part.")
@click.option(
    "--skip",
    multiple=True,
    type=click.Choice(PARTS),
    help="Not this part: `engine` and `registry` read most.",
)
@click.option(
    "--since",
    metavar="WHEN",
    callback=read_since,
    help="Only runs since 2d, 3h, or an ISO date; the ledger is read whole.",
)
@click.option(
    "--witness",
    multiple=True,
    type=PathType(),
    metavar="FILE",
    help="Signed tree heads that were kept elsewhere (`reprise ledger sign --to FILE`).",
)
@click.option(
    "--key",
    multiple=True,
    metavar="KEY|FILE",
    help="A public key that signs tree heads (`reprise ledger key`); with --offline its fingerprint, too.",
)
@click.option(
    "--offline",
    type=PathType(),
    metavar="DIR|PAGE",
    help="Audit a folder of `reprise ledger export`, or a page of `export --format html`: public keys only.",
)
@json_option
def command(
    runs: tuple[str, ...],
    job: str | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    since: datetime | None,
    witness: tuple[Path, ...],
    key: tuple[str, ...],
    offline: Path | None,
    as_json: bool,
) -> ExitCode:
    """Compute everything once more: has anything been altered?

    Events against tables, their tree against signed tree heads, every blob against its hash, verdicts
    against their evidence, images against their digests and specs, in the engine and the registry. What
    was stored as verified is not believed. Exit code 6: something is wrong. Exit code 5: something could
    not be looked at. Notes change no exit code.

    `--only verdicts RUN...` computes the verdicts on these reruns once more, and reads all their evidence.

    JSON: `findings`, each with `kind`, `subject`, `detail`, `meaning`, `run`, `wrong`; `wrong`,
    `unknown`, `notes`.
    """
    from orchestrator.audit.exports.offline_audit import audit_offline
    from orchestrator.audit.keys import known_keys
    from orchestrator.cli.terminal.progress_bar import ProgressBar
    from orchestrator.cli.verb_session import opened
    from orchestrator.errors import UsageError

    narrowed = only or skip or since is not None
    chosen = runs or job is not None
    if offline is not None and (narrowed or chosen):
        raise UsageError("--offline goes with --witness and --key", "they read the folder, not this record")
    if chosen and (only != ("verdicts",) or skip or since is not None or (runs and job is not None)):
        raise UsageError("RUN... or --job goes with --only verdicts", "`reprise audit` looks at every run")
    known = known_keys(key)
    if known.fingerprints and offline is None:
        raise UsageError("a fingerprint as --key goes with --offline", "`reprise ledger key` prints the key")
    parts = [part for part in PARTS if (not only or part in only) and part not in skip]
    if offline is not None and offline.is_file():
        from orchestrator.audit.exports.page_evidence import check_page

        if witness:
            raise UsageError("--witness goes with a folder, not with a page", "give --key alone")
        return _answer(check_page(offline, known), f"the page {offline}", as_json)
    if offline is not None:
        with ProgressBar() as bar:
            findings = list(audit_offline(offline, known, witness, bar.step))
        return _answer(findings, f"the export {offline}", as_json)
    from orchestrator.audit.run_audit import Audit, AuditPart, audit  # which imports database and engine

    with opened() as session, ProgressBar() as bar:
        if chosen:
            findings, what = _verdicts(session, runs, job, bar)
        else:
            wanted = tuple(map(AuditPart, parts))
            asked = Audit(parts=wanted, since=since, witnesses=witness, keys=known.keys)
            findings, what = list(audit(session, asked, bar.step)), ", ".join(parts)
        _keep(session, findings, what)
    return _answer(findings, what, as_json)


def _answer(findings: Sequence[Finding], what: str, as_json: bool) -> ExitCode:
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.errors import ExitCode
    from orchestrator.view.audit_view import audit_view

    print_view(audit_view(findings, what), as_json)
    if any(one.wrong for one in findings):
        return ExitCode.AUDIT
    return ExitCode.INFRASTRUCTURE if any(one.unknown for one in findings) else ExitCode.OK


def _keep(session: Session, findings: Sequence[Finding], what: str) -> None:
    """For `reprise web`. A disk or a record that takes nothing more must not spoil the answer."""
    from orchestrator.audit.kept_audit import keep_audit
    from orchestrator.cli.terminal.console import tell
    from orchestrator.errors import RepriseError

    try:
        keep_audit(session, findings, what)
    except (OSError, RepriseError) as error:
        tell(f"this audit is not kept for the dashboard: {error}")


def _verdicts(
    session: Session, texts: Sequence[str], job: str | None, bar: ProgressBar
) -> tuple[list[Finding], str]:
    """The findings, and what was looked at, in words."""
    from orchestrator.audit.checks.verdict_checks import verdict_findings
    from orchestrator.audit.findings import Finding, Kind
    from orchestrator.launch.judge.verify_verdicts import judged_runs
    from orchestrator.message_wording import count

    named = list(dict.fromkeys(session.record.find(text) for text in texts))
    runs = named or judged_runs(session, job)
    verdicts = session.record.history.verdicts
    judged = [run for run in runs if any(line.run == run for line in verdicts(run))]
    if not judged:
        _refuse(session, named, job)
    findings = list(verdict_findings(session, judged, bar.step("verdicts"), evidence=True))
    for run in runs:
        if run not in judged:
            detail = "no verdict on it as a rerun is recorded"
            findings.append(Finding(kind=Kind.NOT_CHECKED, subject=f"run {run}", detail=detail, run=run))
    return findings, f"verdicts on {count(len(judged), 'run')}"


def _refuse(session: Session, runs: list[str], job: str | None) -> None:
    """Raise UsageError because no named run has a verdict: that nothing is wrong was not checked."""
    from orchestrator.errors import UsageError
    from orchestrator.message_wording import listed

    if job is not None:
        raise UsageError(
            f"no verdict on a run of the job {job} is recorded", "`reprise history` shows jobs and verdicts"
        )
    reruns = dict.fromkeys(line.run for run in runs for line in session.record.history.verdicts(run))
    if reruns:
        hint = f"verdicts are on reruns: `reprise audit --only verdicts {' '.join(list(reruns)[:3])}`"
    elif len(runs) == 2:
        hint = f"to compare the two: `reprise compare {' '.join(runs)}`"
    else:
        hint = f"`reprise rerun {runs[0]}` makes one"
    raise UsageError(f"no verdict on {listed(runs)} is recorded, so there is nothing to compute again", hint)
