"""reprise audit"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.audit.findings import Finding
    from orchestrator.errors import ExitCode

PARTS = ("ledger", "rows", "runs", "blobs", "verdicts", "images", "engine", "registry")


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
@json_option
def command(
    only: tuple[str, ...],
    skip: tuple[str, ...],
    since: str | None,
    witness: tuple[Path, ...],
    key: tuple[str, ...],
    as_json: bool,
) -> ExitCode:
    """Compute everything once more: has anything been altered?

    Events against tables, their tree against signed checkpoints, every blob against its hash, verdicts
    against their evidence, images against their digests and specs, in the engine and the registry. What
    was stored as verified is not believed. Exit code 6 where something is wrong; notes are no fault.

    JSON: `findings`, each with `kind`, `subject`, `detail`, `meaning`, `run`, `wrong`; `wrong`, `notes`.
    """
    from orchestrator.audit.findings import MEANINGS
    from orchestrator.audit.keys import read_public
    from orchestrator.audit.whole import Audit, Part, audit
    from orchestrator.cli.box import opened
    from orchestrator.cli.console import BOLD, line
    from orchestrator.cli.document import print_document
    from orchestrator.cli.parts import PartBar
    from orchestrator.cli.text import parse_since
    from orchestrator.errors import ExitCode, UsageError

    try:
        moment = None if since is None else parse_since(since)
    except ValueError:
        raise UsageError(f"--since {since!r} is no time", "such as 2d, 3h, or 2026-11-23") from None
    parts = tuple(part for part in Part if (not only or part.value in only) and part.value not in skip)
    keys = tuple(public for text in key for public in read_public(text))
    asked = Audit(parts=parts, since=moment, witnesses=witness, keys=keys)
    with opened() as session, PartBar() as bar:
        findings = list(audit(session, asked, bar.step))
    wrong = [one for one in findings if one.wrong]
    notes = [one for one in findings if not one.wrong]
    if as_json:
        print_document(
            {"findings": [_document(one) for one in findings], "wrong": len(wrong), "notes": len(notes)}
        )
    else:
        for group in (wrong, notes):
            for kind, count in Counter(one.kind for one in group).items():
                line(f"{kind.value}: {count}", BOLD)
                line(f"  {MEANINGS[kind]}")
                for one in [one for one in group if one.kind is kind][:50]:
                    line(f"  - {one.subject}: {one.detail}")
                if count > 50:
                    line(f"    and {count - 50} more; --json lists all")
        names = ", ".join(part.value for part in parts)
        line(f"{len(wrong)} wrong, {len(notes)} to note; looked at: {names}", BOLD)
    return ExitCode.AUDIT if wrong else ExitCode.OK


def _document(one: Finding) -> dict[str, object]:
    return one.model_dump(mode="json") | {"meaning": one.meaning, "wrong": one.wrong}
