"""reprise outputs"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import json_option


@click.command("outputs")
@click.argument("run")
@click.option("--to", "target", type=click.Path(path_type=Path, file_okay=False), help="Copy them there.")
@click.option("--path", "glob", help="Only paths that match; `*` matches any characters, `/` too.")
@click.option("--force", is_flag=True, help="With --to: replace files that are there already.")
@json_option
def command(run: str, target: Path | None, glob: str | None, force: bool, as_json: bool) -> None:
    """List a run's outputs, or copy them into a folder.

    Every byte is checked against its digest while it is copied; links in the folder are not followed. Links
    that the job made are made again where they stay in the folder; what is not brought back is listed.

    JSON: `run`, `outputs` (`path`, `status`, `size`, `digest`, `reason`, `target` of a link), `copied_to`,
    `not_restored` (`path`, `why`).
    """
    from fnmatch import fnmatchcase

    from orchestrator.cli.copy_outputs import copy_outputs, why_not
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import ODD, line
    from orchestrator.cli.terminal.human_units import size_text
    from orchestrator.cli.terminal.summary import print_outputs
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.errors import UsageError

    with opened(adopting=True) as session:
        record = find_run(session, run)
        outputs = tuple(item for item in record.outputs if glob is None or fnmatchcase(item.path, glob))
        if glob is not None and not outputs:
            raise UsageError(
                f"no output of run {record.id} matches {glob!r}", f"`reprise outputs {record.id}` lists all"
            )
        lost = [{"path": item.path, "why": why} for item in outputs if target and (why := why_not(item))]
        kept = tuple(item for item in outputs if why_not(item) is None)
        size = copy_outputs(kept, target, session.store.open, force) if target else 0
    if as_json:
        document = {"run": record.id, "outputs": outputs, "copied_to": target and target.absolute()}
        print_document(document | {"not_restored": lost})
    elif target:
        files, links = (sum((item.link is None) is plain for item in kept) for plain in (True, False))
        also = f", {links} link{'s' * (links != 1)}" if links else ""
        line(f"{files} file{'s' * (files != 1)}, {size_text(size)}, verified{also}, in {target}")
        for item in lost:
            line(f"not brought back: {item['path']}: {item['why']}", ODD)
    elif outputs:
        print_outputs(outputs)
    else:
        line("no outputs")
