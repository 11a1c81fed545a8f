"""reprise image sbom"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import PathType, json_option, new_path, refuse_existing


@click.command("sbom")
@click.argument("target", metavar="DIGEST|RUN")
@click.option(
    "--to",
    type=PathType(dir_okay=False),
    callback=new_path,
    metavar="FILE",
    help="Write it into this file.",
)
@click.option("--force", is_flag=True, help="With --to: replace FILE if it is there.")
@json_option
def command(target: str, to: Path | None, force: bool, as_json: bool) -> None:
    """Print the bill of materials of an image (CycloneDX 1.6, JSON).

    The base and the Python packages that a run's container had, with exact versions. The same image gives
    the same bytes.

    JSON: the bill itself, as without the option; with --to, `file`.
    """
    from orchestrator.audit.exports.bill_of_materials import sbom
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import opened
    from orchestrator.durable import write_bytes
    from orchestrator.errors import UsageError
    from orchestrator.launch.submit.rerun_target import resolve
    from orchestrator.view.forms.page import Text, View

    refuse_existing(to, force)
    with opened() as session:
        data = sbom(resolve(session, target))
    if to is None:
        click.echo(data.decode(), nl=False)
        return
    try:
        write_bytes(to, data)
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error.strerror}", "name another file") from error
    print_view(View({"file": to}, (Text(f"written to {to}"),)), as_json)
