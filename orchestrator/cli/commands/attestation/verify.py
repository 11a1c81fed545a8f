"""reprise attestation verify"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import PathType, json_option

if TYPE_CHECKING:
    from orchestrator.audit.attestations.attestation_bundle import Attestations
    from orchestrator.digest import Digest
    from orchestrator.errors import ExitCode


@click.command("verify")
@click.argument("source", metavar="FILE|HOST/NAME@sha256:…")
@click.option(
    "--key",
    "keys",
    metavar="KEY|FILE",
    multiple=True,
    required=True,
    help="A public key as `reprise ledger key` prints it, or a file of such lines; repeat.",
)
@click.option(
    "--file",
    "files",
    type=PathType(),
    multiple=True,
    help="Also: is this file an output of the claim? By its content; may be given several times.",
)
@click.option(
    "--at-least",
    "least",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="So many of the keys must have signed the claim.",
)
@json_option
def command(
    source: str, keys: tuple[str, ...], files: tuple[Path, ...], least: int, as_json: bool
) -> ExitCode:
    """Say who vouches for what, offline, with public keys only.

    Neither a record nor an engine is asked; with HOST/NAME@sha256:… that registry is. What no given key
    signed is not repeated. Exit code 6: a signature is not over what stands there, too few of the keys
    signed, or a file has other bytes than any output that is vouched for. Exit code 2: no attestation at all.

    JSON: `claims`, each with `image`, `job`, `outputs` (path: digest), `by` (ids of keys), `unknown`
    (signatures of other keys), `runs` (`run`, `box`, `submitted_by`, `finished_on`, `commit`,
    `dirty`, `verdicts`, `by`); `files`: each file with the outputs that it is; `problems`; `sound`.
    """
    from orchestrator.audit.attestations.attestation_bundle import check_attestations
    from orchestrator.audit.keys import read_public
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.errors import ExitCode
    from orchestrator.view.audit_view import attestations_view

    known = {key.vkey: key for text in keys for key in read_public(text)}
    if not known:
        raise click.UsageError("there is no key in what --key names")
    digests = {str(path): _digest(path) for path in files}
    checked = check_attestations(_read(source), tuple(known.values()), digests, least)
    print_view(attestations_view(checked), as_json)
    return ExitCode.AUDIT if checked.problems else ExitCode.OK


def _read(source: str) -> Attestations:
    path = Path(source)
    if "@sha256:" in source and not os.path.lexists(path):
        from orchestrator.audit.attestations.publish import published

        return published(source)
    from orchestrator.audit.attestations.attestation_bundle import read_file

    return read_file(path)


def _digest(path: Path) -> Digest:
    from orchestrator.digest import Digest
    from orchestrator.errors import UsageError

    try:
        return Digest.of_file(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", "name a file that you may read"
        ) from error
