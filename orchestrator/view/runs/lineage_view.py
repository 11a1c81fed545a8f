"""Where a run's inputs came from, and what was made of its outputs: a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestrator.message_wording import count
from orchestrator.record.lineage.lineage_model import Kin, Lineage, Link, Unmade
from orchestrator.view.forms.human_units import moment_text
from orchestrator.view.forms.json_form import jsonable
from orchestrator.view.forms.page import Block, Text, Tone, Tree, View

FILES_SHOWN = 3  # of one link

_Branches = Callable[[Lineage, str, set[str]], list[Tree]]


def lineage_view(found: Lineage) -> View:
    return View(jsonable(found), _page(found))


def _page(found: Lineage) -> Iterator[Block]:
    sources, uses = _sources(found, found.run, set()), _uses(found, found.run, set())
    above = Tree("inputs" if sources else "no inputs", sources)
    below = Tree("used by" if uses else "used by no run that is recorded", uses)
    yield Tree(_kin_text(found.runs[found.run]), (above, below))
    if found.cut:
        yield Text("there is more; ask for a run at the edge", Tone.QUIET)


def _sources(found: Lineage, run: str, shown: set[str]) -> list[Tree]:
    """One branch per input, with the inputs of the run that made it. Each run's inputs are listed once."""
    branches = []
    for link in (link for link in found.above if link.user == run):
        files = f"{_files_text(link)} of {_kin_text(found.runs[link.maker])}"
        text = f"{link.input} <- {files}{_asked_text(link)}{_also_text(link)}"
        branches.append(_branch(text, link.maker, _sources, found, shown))
    return branches + [Tree(_unmade_text(item)) for item in found.unmade if item.run == run]


def _uses(found: Lineage, run: str, shown: set[str]) -> list[Tree]:
    branches = []
    for link in (link for link in found.below if link.maker == run):
        text = f"{_kin_text(found.runs[link.user])}: {link.input} <- {_files_text(link)}{_asked_text(link)}"
        branches.append(_branch(text, link.user, _uses, found, shown))
    return branches


def _branch(text: str, run: str, below: _Branches, found: Lineage, shown: set[str]) -> Tree:
    if run in shown:
        return Tree(text + " (see above)")
    shown.add(run)
    return Tree(text, below(found, run, shown))


def _kin_text(kin: Kin) -> str:
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
    if not texts:  # asked for, and too many files to be recorded
        return "outputs"
    more = link.count - len(texts)
    return ", ".join(texts) + (f" and {more} more" if more else "")


def _asked_text(link: Link) -> str:
    return f", asked for as {link.asked}" if link.asked is not None else ""


def _also_text(link: Link) -> str:
    return f"; {count(len(link.also), 'other run')} left the same bytes" if link.also else ""


def _unmade_text(item: Unmade) -> str:
    if item.folder is None:
        kind = "" if item.looked_at else "; if it is a folder, its files are not recorded"
    elif item.folder:
        kind = f", a folder of {count(item.files or 0, 'file')}"
        kind += "" if item.looked_at else ", too many to be recorded one by one"
    else:
        kind = ""
    named = f"data {item.data}, " if item.data is not None else ""
    return f"{item.input}: {named}no run made it ({item.digest.short}{kind})"
