"""reprise alias"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.record.record import Record
    from orchestrator.record.run_record import RunName


@click.command("alias")
@click.argument("name", metavar="[ALIAS]", required=False)
@click.argument("run", required=False)
@click.option("--remove", is_flag=True, help="Take the alias away.")
@json_option
def command(name: str | None, run: str | None, remove: bool, as_json: bool) -> None:
    """Give a run an alias such as `production`, or list aliases.

    One run at a time has an alias, and every verb takes the alias for the run. Of an alias alone, the runs
    that had it are listed.

    JSON: `names`, each with `name`, `run`, `job` (null where it was taken away), and `past`: `run`, `kind`
    (name or unname), `by`, `at`.
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line
    from orchestrator.cli.verb_session import opened
    from orchestrator.errors import UsageError

    if remove and (name is None or run is not None):
        raise UsageError("--remove takes an alias and nothing else", "`reprise alias ALIAS --remove`")
    with opened() as session:
        said = "" if name is None else _change(session.record, name, run, remove)
        every = session.record.annotations.names()
    names = [item for item in every if name in (None, item.name)]
    if name is not None and not names:
        raise UsageError(f"no run ever had the alias {name}", f"`reprise alias {name} RUN` gives it")
    if as_json:
        print_document({"names": [_document(item) for item in names]})
    elif said:
        line(said)
    else:
        _print(names, past=name is not None)


def _change(record: Record, name: str, run: str | None, remove: bool) -> str:
    from orchestrator.record.runs.author import person

    if remove:
        return f"{record.annotations.unname(name, person())} is no longer {name}"
    if run is None:
        return ""
    found = record.find(run)
    before = record.annotations.name(name, found, person())
    if before == found:
        return f"{found} is {name} already"
    return f"{found} is now {name}" + (f"; before, it was {before}" if before else "")


def _document(item: RunName) -> dict[str, object]:
    past = [{"run": line.run, "kind": line.kind, "by": line.by, "at": line.at} for line in item.past]
    return {"name": item.name, "run": item.run, "job": item.job, "past": past}


def _print(names: Sequence[RunName], past: bool) -> None:
    from orchestrator.cli.terminal.console import line, table
    from orchestrator.cli.terminal.human_units import moment_text

    if past:
        rows = [
            (moment_text(line.at), line.run if line.kind == "name" else f"no longer {line.run}", line.by)
            for item in names
            for line in item.past
        ]
        table(("since", "run", "by"), rows)
        return
    held = [item for item in names if item.run is not None]
    if not held:
        line("no run has an alias")
        return
    lines = [
        (item.name, item.run or "", item.job or "", moment_text(item.past[-1].at), item.past[-1].by)
        for item in held
    ]
    table(("alias", "run", "job", "since", "by"), lines)
