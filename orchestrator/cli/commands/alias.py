"""reprise alias"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.record.record import Record


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
    from orchestrator.cli.terminal.console import line, print_document, show
    from orchestrator.cli.verb_session import opened
    from orchestrator.errors import UsageError
    from orchestrator.view.runs.annotation_view import alias_documents, alias_past, aliases_page

    if remove and (name is None or run is not None):
        raise UsageError("--remove takes an alias and nothing else", "`reprise alias ALIAS --remove`")
    with opened() as session:
        answer = "" if name is None else _change(session.record, name, run, remove)
        every = session.record.annotations.names()
    names = [item for item in every if name in (None, item.name)]
    if name is not None and not names:
        raise UsageError(f"no run ever had the alias {name}", f"`reprise alias {name} RUN` gives it")
    if as_json:
        print_document({"names": alias_documents(names)})
    elif answer:
        line(answer)
    elif name is not None:
        show([alias_past(names[0])])
    else:
        show(aliases_page(names))


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
