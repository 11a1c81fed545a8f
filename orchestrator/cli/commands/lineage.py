"""reprise lineage"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.cli.terminal.console import Branch
    from orchestrator.record.lineage.lineage_model import Kin, Lineage, Link, Unmade

FILES_SHOWN = 3  # of one link


@click.command("lineage")
@click.argument("run")
@json_option
def command(run: str, as_json: bool) -> None:
    """Show where a run's inputs came from, and what was made of its outputs.

    By content: an output is an input of another run where it has the same bytes and its run was submitted
    before. Files in an input folder count, too. Empty files do not.

    JSON: `run`, `runs` (each run by its id), `above` and `below` (links: `maker`, `user`, `input`, `matches`
    with `output`, `file`, `digest`; `count`, `also`), `unmade` (inputs of which nothing is known to be
    an output: `run`, `input`, `digest`, `folder`, `files`, `looked_at`), `cut`.
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.verb_session import opened

    with opened() as session:
        found = session.record.history.lineage(session.record.find(run))
    if as_json:
        print_document(found)
    else:
        _print(found)


def _print(found: Lineage) -> None:
    from orchestrator.cli.terminal.console import DIM, Branch, line, tree

    sources, uses = _sources(found, found.run, set()), _uses(found, found.run, set())
    tree(
        Branch(
            _kin_text(found.runs[found.run]),
            [
                Branch("inputs" if sources else "no inputs", sources),
                Branch("used by" if uses else "used by no run that is recorded", uses),
            ],
        )
    )
    if found.cut:
        line("there is more; ask for a run at the edge", DIM)


def _sources(found: Lineage, run: str, shown: set[str]) -> list[Branch]:
    """One branch per input, with the inputs of the run that made it; a run's own only once."""
    from orchestrator.cli.terminal.console import Branch

    branches = []
    for link in (link for link in found.above if link.user == run):
        again = link.maker in shown
        shown.add(link.maker)
        text = f"{link.input} <- {_files_text(link)} of {_kin_text(found.runs[link.maker])}{_also_text(link)}"
        children = [] if again else _sources(found, link.maker, shown)
        branches.append(Branch(text + (" (see above)" if again else ""), children))
    return branches + [Branch(_unmade_text(item), []) for item in found.unmade if item.run == run]


def _uses(found: Lineage, run: str, shown: set[str]) -> list[Branch]:
    from orchestrator.cli.terminal.console import Branch

    branches = []
    for link in (link for link in found.below if link.maker == run):
        again = link.user in shown
        shown.add(link.user)
        text = f"{_kin_text(found.runs[link.user])}: {link.input} <- {_files_text(link)}"
        children = [] if again else _uses(found, link.user, shown)
        branches.append(Branch(text + (" (see above)" if again else ""), children))
    return branches


def _kin_text(kin: Kin) -> str:
    from orchestrator.cli.terminal.human_units import moment_text

    rerun = f", rerun of {kin.rerun_of}" if kin.rerun_of else ""
    archived = (", archived" if kin.archived else "") + (", imported" if kin.imported else "")
    when = moment_text(kin.created_at)
    return f"{kin.id} {kin.job} ({kin.state.value}, {kin.submitted_by}, {when}{rerun}{archived})"


def _files_text(link: Link) -> str:
    """`model.pt`, or for files in a folder `a.pt (as old/a.pt), b.pt and 3 more`."""
    texts = [
        match.output if match.file in (None, match.output) else f"{match.output} (as {match.file})"
        for match in link.matches[:FILES_SHOWN]
    ]
    more = link.count - len(texts)
    return ", ".join(texts) + (f" and {more} more" if more else "")


def _also_text(link: Link) -> str:
    count = len(link.also)
    return f"; {count} other run{'s' * (count != 1)} left the same bytes" if count else ""


def _unmade_text(item: Unmade) -> str:
    if item.folder is None:
        kind = "" if item.looked_at else "; if it is a folder, its files are not recorded"
    elif item.folder:
        count = item.files or 0
        kind = f", a folder of {count:,} file{'s' * (count != 1)}"
        kind += "" if item.looked_at else ", too many to be recorded one by one"
    else:
        kind = ""
    return f"{item.input}: no run made it ({item.digest.short}{kind})"
