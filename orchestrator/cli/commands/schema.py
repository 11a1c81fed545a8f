"""reprise schema"""

from __future__ import annotations

import click


@click.command("schema")
@click.option("--json", "_as_json", is_flag=True, help="Nothing changes: the schema is JSON.")
def command(_as_json: bool) -> None:
    """Print the JSON Schema of job specs.

    For editors: save it, and name it in the first line of a job file:
    `# yaml-language-server: $schema=FILE`.
    """
    import json

    from orchestrator.spec.jobfile.json_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
