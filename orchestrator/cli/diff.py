"""reprise diff"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("diff")
@click.argument("run_a")
@click.argument("run_b")
@click.option("--all", "everything", is_flag=True, help="Show equal fields too.")
@json_option
def command(run_a: str, run_b: str, everything: bool, as_json: bool) -> None:
    """Show what differs between two runs.

    Parameters, code, packages, hardware, flags, metrics and outputs. Equal fields are hidden. The exit
    code is 0 whether they differ or not: to judge a rerun is what `rerun` does.
    """
