"""What an audit found, and who vouches for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from orchestrator.audit.attestations.attestation_bundle import CheckedAttestations, SignedRun, Vouched
from orchestrator.audit.findings import MEANINGS, Finding
from orchestrator.message_wording import count as counted
from orchestrator.view.forms.clean_text import clean_line
from orchestrator.view.forms.json_form import jsonable
from orchestrator.view.forms.page import Block, Fields, Text, Tone, View

FINDINGS_SHOWN = 50  # of a kind
RUNS_SHOWN = 20
OUTPUTS_SHOWN = 20


def audit_view(findings: Sequence[Finding], what: str) -> View:
    """Findings by kind; `what` says what was looked at."""
    wrong = [one for one in findings if one.wrong]
    unknown = [one for one in findings if one.unknown]
    notes = [one for one in findings if not one.wrong and not one.unknown]

    def page() -> Iterator[Block]:
        for group in (wrong, unknown, notes):
            yield from _findings(group)
        away = f"{len(unknown)} could not be looked at, " if unknown else ""
        text = f"{len(wrong)} wrong, {away}{len(notes)} to note; looked at: {what}"
        yield Text(text, Tone.STRONG)

    entries = [jsonable(one) | {"meaning": one.meaning, "wrong": one.wrong} for one in findings]
    counts = {"wrong": len(wrong), "unknown": len(unknown), "notes": len(notes)}
    return View({"findings": entries, **counts}, page())


def _findings(group: Sequence[Finding]) -> Iterator[Block]:
    for kind, count in Counter(one.kind for one in group).items():
        yield Text(f"{kind.value}: {count}", Tone.STRONG)
        yield Text(f"  {MEANINGS[kind]}")
        for one in [one for one in group if one.kind is kind][:FINDINGS_SHOWN]:
            yield Text(f"  - {one.subject}: {one.detail}")
        if count > FINDINGS_SHOWN:
            yield Text(f"    and {count - FINDINGS_SHOWN} more; --json lists all")


def attestations_view(checked: CheckedAttestations) -> View:
    return View({**jsonable(checked), "sound": not checked.problems}, _attestations(checked))


def _attestations(checked: CheckedAttestations) -> Iterator[Block]:
    for claim in checked.claims:
        if claim.by:
            yield from _claim(claim)
    for name, paths in checked.files.items():
        if paths:
            yield Text(clean_line(f"{name} is {', '.join(paths)}"))
    if checked.problems:
        yield Text("NOT SOUND", Tone.STRONG)
        yield from (Text(f"  {clean_line(problem)}") for problem in checked.problems)


def _claim(claim: Vouched) -> Iterator[Block]:
    yield Text(f"vouched for by {' and '.join(claim.by)}", Tone.STRONG)
    outputs = [f"{path}  {digest}" for path, digest in claim.outputs.items()][:OUTPUTS_SHOWN]
    if len(claim.outputs) > OUTPUTS_SHOWN:
        outputs.append(f"and {len(claim.outputs) - OUTPUTS_SHOWN} more; --json lists all")
    listed = [("" if number else "outputs", text) for number, text in enumerate(outputs)]
    yield Fields([("job", claim.job), ("image", claim.image), *listed], indent=2)
    if claim.unknown:
        yield Text(f"  signatures of keys that were not given: {claim.unknown}", Tone.QUIET)
    yield from (Text(f"  {clean_line(_run_text(run))}") for run in claim.runs[:RUNS_SHOWN])
    if len(claim.runs) > RUNS_SHOWN:
        yield Text(f"  and {counted(len(claim.runs) - RUNS_SHOWN, 'more run')}; --json lists all", Tone.QUIET)


def _run_text(run: SignedRun) -> str:
    """`ada@alpha: run R on box B, finished …, by ada, commit 1f2e…, identical with its original R0`."""
    box = run.box.rpartition(":")[2][:12]
    parts = [
        f"run {run.run} on box {box}",
        f"finished {run.finished_on}",
        f"submitted by {run.submitted_by}",
    ]
    if run.commit:
        parts.append(f"commit {run.commit[:12]}{' DIRTY' if run.dirty else ''}")
    return f"{' and '.join(run.by)}: {', '.join([*parts, *run.verdicts[-3:]])}"
