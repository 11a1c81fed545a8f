"""reprise audit"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.audit.findings import Finding
    from orchestrator.audit.keys import PublicKey
    from orchestrator.errors import ExitCode

PARTS = ("ledger", "rows", "runs", "blobs", "verdicts", "images", "engine", "registry")
SHOWN = 50  # findings of a kind that are printed


@click.command("audit")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Only this part.")
@click.option(
    "--skip",
    multiple=True,
    type=click.Choice(PARTS),
    help="Not this part: `engine` and `registry` read most.",
)
@click.option("--since", metavar="WHEN", help="Runs from then on: 2d, 3h, an ISO date; the ledger whole.")
@click.option(
    "--witness",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Checkpoints that were kept elsewhere (`reprise checkpoint --to`).",
)
@click.option(
    "--key", multiple=True, metavar="KEY|FILE", help="A public key that signs checkpoints (`reprise key`)."
)
@click.option(
    "--export",
    "target",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write events, rows, checkpoints and public key into a new folder, for others to audit.",
)
@click.option("--blobs", is_flag=True, help="With --export: the stored bytes, too.")
@click.option(
    "--offline",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Audit such a folder: no database, no engine, public keys only.",
)
@json_option
def command(
    only: tuple[str, ...],
    skip: tuple[str, ...],
    since: str | None,
    witness: tuple[Path, ...],
    key: tuple[str, ...],
    target: Path | None,
    blobs: bool,
    offline: Path | None,
    as_json: bool,
) -> ExitCode:
    """Compute everything once more: has anything been altered?

    Events against tables, their tree against signed checkpoints, every blob against its hash, verdicts
    against their evidence, images against their digests and specs, in the engine and the registry. What
    was stored as verified is not believed. Exit code 6 where something is wrong, 5 where something could not
    be looked at; notes are no fault.

    JSON: `findings`, each with `kind`, `subject`, `detail`, `meaning`, `run`, `wrong`; `wrong`,
    `unknown`, `notes`.
    With --export: `folder`, `events`, `runs`, `blobs`, `copied`, `missing`.
    """
    from orchestrator.audit.keys import read_public
    from orchestrator.errors import UsageError

    narrowed = only or skip or since is not None
    if target is not None and (narrowed or witness or key or offline):
        raise UsageError("--export goes with --blobs alone", "audit the folder with `--offline DIR`")
    if (offline is not None and narrowed) or (blobs and target is None):
        raise UsageError("--offline goes with --witness and --key, and --blobs with --export")
    if target is not None:
        return _export(target, blobs, as_json)
    keys = [public for text in key for public in read_public(text)]
    if offline is not None:
        return _offline(offline, keys, witness, as_json)
    parts = [part for part in PARTS if (not only or part in only) and part not in skip]
    return _audit(parts, _moment(since), witness, keys, as_json)


def _moment(since: str | None) -> datetime | None:
    from orchestrator.cli.terminal.human_units import parse_since
    from orchestrator.errors import UsageError

    try:
        return None if since is None else parse_since(since)
    except ValueError:
        raise UsageError(f"--since {since!r} is no time", "such as 2d, 3h, or 2026-11-23") from None


def _audit(
    parts: Sequence[str],
    since: datetime | None,
    witness: tuple[Path, ...],
    keys: Sequence[PublicKey],
    as_json: bool,
) -> ExitCode:
    from orchestrator.audit.run_audit import Audit, Part, audit
    from orchestrator.cli.terminal.parts_bar import PartBar
    from orchestrator.cli.verb_session import opened

    asked = Audit(parts=tuple(map(Part, parts)), since=since, witnesses=witness, keys=tuple(keys))
    with opened() as session, PartBar() as bar:
        findings = list(audit(session, asked, bar.step))
    return _told(findings, ", ".join(parts), as_json)


def _offline(folder: Path, keys: Sequence[PublicKey], witness: tuple[Path, ...], as_json: bool) -> ExitCode:
    from orchestrator.audit.exports.offline_audit import audit_offline
    from orchestrator.cli.terminal.parts_bar import PartBar

    with PartBar() as bar:
        findings = list(audit_offline(folder, keys, witness, bar.step))
    return _told(findings, f"the export {folder}", as_json)


def _told(findings: Sequence[Finding], what: str, as_json: bool) -> ExitCode:
    from orchestrator.audit.findings import MEANINGS
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import BOLD, line
    from orchestrator.errors import ExitCode

    wrong = [one for one in findings if one.wrong]
    unknown = [one for one in findings if one.unknown]
    notes = [one for one in findings if not one.wrong and not one.unknown]
    code = ExitCode.AUDIT if wrong else ExitCode.INFRASTRUCTURE if unknown else ExitCode.OK
    if as_json:
        told = [_document(one) for one in findings]
        counts = {"wrong": len(wrong), "unknown": len(unknown), "notes": len(notes)}
        print_document({"findings": told, **counts})
        return code
    for group in (wrong, unknown, notes):
        for kind, count in Counter(one.kind for one in group).items():
            line(f"{kind.value}: {count}", BOLD)
            line(f"  {MEANINGS[kind]}")
            for one in [one for one in group if one.kind is kind][:SHOWN]:
                line(f"  - {one.subject}: {one.detail}")
            if count > SHOWN:
                line(f"    and {count - SHOWN} more; --json lists all")
    away = f"{len(unknown)} could not be looked at, " if unknown else ""
    line(f"{len(wrong)} wrong, {away}{len(notes)} to note; looked at: {what}", BOLD)
    return code


def _export(folder: Path, blobs: bool, as_json: bool) -> ExitCode:
    from orchestrator.audit.exports.export_ledger import export
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line
    from orchestrator.cli.terminal.parts_bar import PartBar
    from orchestrator.cli.verb_session import opened
    from orchestrator.errors import ExitCode

    with opened() as session, PartBar() as bar:
        done = export(session, folder, bar.step("export"), blobs=blobs)
    if as_json:
        print_document(done.model_dump(mode="json"))
        return ExitCode.OK
    bytes_of = f"{done.copied} of {done.blobs} blobs" if blobs else f"the digests of {done.blobs} blobs"
    line(f"{folder}: {done.events} events, {done.runs} runs, {bytes_of}")
    if done.missing:
        line(f"{done.missing} blobs are not in the store: `reprise audit --only blobs`")
    line(f"whoever has it, and your public key (`reprise key`), checks it: reprise audit --offline {folder}")
    return ExitCode.OK


def _document(one: Finding) -> dict[str, object]:
    return one.model_dump(mode="json") | {"meaning": one.meaning, "wrong": one.wrong}
