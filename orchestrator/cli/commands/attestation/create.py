"""reprise attestation create"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import PathType, json_option, new_path

if TYPE_CHECKING:
    from orchestrator.audit.attestations.attestation_bundle import Attestations


@click.command("create")
@click.argument("run")
@click.option(
    "--to",
    "target",
    metavar="FILE",
    type=PathType(dir_okay=False),
    callback=new_path,
    help="Write them there, or add them to what others signed there.",
)
@click.option("--push", is_flag=True, help="Attach them to the run's image in REPRISE_REGISTRY.")
@json_option
def command(run: str, target: Path | None, push: bool, as_json: bool) -> None:
    """Sign what a run made of what; of an identical rerun, its original's claim.

    Two statements, each in a DSSE envelope, signed with this box's key (`reprise ledger key`): a claim, "this
    program in this image left these bytes", which is the same for a run and its identical reruns, and a SLSA
    provenance of this run. --to FILE holds one envelope a line (call it NAME.intoto.jsonl); on another box,
    attesting the rerun with --to the same file adds a signature to the same claim. Without --to and --push
    they are printed.

    Refused: runs that did not succeed or that another box executed, and reruns whose evidence does not give
    the verdict identical today.

    JSON: `run`, `image`, `claim` (its SHA-256), `signers` (key ids under the claim), `outputs` (how many),
    `file`, `pushed` (`digest` of what was attached, and `place`; null without --push).
    """
    from orchestrator.audit.attestations.attest_run import add_to_file, attest
    from orchestrator.cli.terminal.console import line, print_document
    from orchestrator.cli.verb_session import find_run, opened

    with opened() as session:
        record = find_run(session, run)
        bundle = attest(session, record)
        if target is not None:
            bundle = add_to_file(target, bundle)
        pushed = None
        if push:
            from orchestrator.audit.attestations.publish import publish

            pushed = publish(session.settings, record.image, bundle)
    if as_json:
        place = {"digest": pushed.digest, "place": pushed.place} if pushed else None
        print_document({"run": record.id, "file": target, "pushed": place} | _document(bundle))
    elif target is None and pushed is None:
        for item in bundle:
            click.echo(item.envelope.to_line(), nl=False)
    else:
        signers = bundle[0].envelope.signatures
        line(f"image {record.image} and its outputs, signed by {' and '.join(one.keyid for one in signers)}")
        if target is not None:
            line(f"written to {target}")
        if pushed is not None:
            line(f"attached as {pushed.place}@{pushed.digest}")


def _document(bundle: Attestations) -> dict[str, object]:
    from orchestrator.digest import Digest

    claim = bundle[0]
    signers = [one.keyid for one in claim.envelope.signatures]
    return {
        "image": claim.statement.image,
        "claim": Digest.of(claim.envelope.payload),
        "signers": signers,
        "outputs": len(claim.statement.outputs),
    }
