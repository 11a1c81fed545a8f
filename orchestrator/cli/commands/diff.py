"""reprise diff"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.launch.session import Session
    from orchestrator.record.run_record import RunRecord
    from orchestrator.verdict.run_difference import Cell, Difference, FieldPair, Section

ENTRIES_SHOWN = 40  # of one section; --all and --json show every one


@click.command("diff")
@click.argument("run_a", metavar="RUN")
@click.argument("run_b", metavar="RUN")
@click.option("--all", "everything", is_flag=True, help="Show equal fields, too, and long lists whole.")
@click.option("--code", is_flag=True, help="Show the source files that differ, as a patch, and no more.")
@json_option
def command(run_a: str, run_b: str, everything: bool, code: bool, as_json: bool) -> None:
    """Show what differs between two runs.

    Job, parameters, code, git, packages, hardware, flags, metrics and outputs; equal fields are hidden.
    The exit code is 0 whether they differ or not: to judge is what `rerun` is for.

    JSON: `a`, `b`, `sections` (`name`, `differing`, and with --all `equal`; each entry has `name`, `a`,
    `b`, `delta`). With --code: `a`, `b`, `code`, each with `path`, `change` (added, removed, changed),
    `patch`, and `why` where no patch can be shown.
    """
    from orchestrator.cli.json_document import jsonable, print_document
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.verdict.run_difference import difference

    with opened(adopting=True) as session:
        a, b = find_run(session, run_a), find_run(session, run_b)
        if code:
            _show_code(session, a, b, as_json)
            return
        found = difference(a, b)
    if as_json:
        document = jsonable(found)
        for section in document["sections"]:
            if not everything:
                del section["equal"]
        print_document(document)
    else:
        print_difference(found, everything)


def _show_code(session: Session, a: RunRecord, b: RunRecord, as_json: bool) -> None:
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal import console
    from orchestrator.cli.terminal.run_progress import notes_only
    from orchestrator.launch.judge.run_source import source_of
    from orchestrator.verdict.source_difference import code_difference, shown_path

    watch = notes_only()
    one = source_of(session, a, watch)
    found = code_difference(one, one if a.image == b.image else source_of(session, b, watch))
    if as_json:
        print_document({"a": a.id, "b": b.id, "code": found})
        return
    if not found:
        console.line("no differences", console.GOOD)
    for item in found:
        if item.patch:
            console.patch(item.patch)
        else:
            console.line(f"{item.change.value}: {shown_path(item.path)} ({item.why})", console.BOLD)


def print_difference(found: Difference, everything: bool) -> None:
    """Sections in which something differs, in the manner of a patch: `-` the first run, `+` the second."""
    from orchestrator.cli.terminal import console

    console.line(f"--- {found.a}\n+++ {found.b}", console.BOLD)
    for section in found.sections:
        if section.differing or (everything and section.equal):
            console.line(f"\n{section.name}", console.BOLD)
            _print_section(section, everything)
    equal = sum(len(section.equal) for section in found.sections)
    if not found.differing:
        console.line("\nno differences", console.GOOD)
    if equal and not everything:
        console.line(f"\n{equal} equal fields are hidden; --all shows them", console.DIM)


def _print_section(section: Section, everything: bool) -> None:
    from orchestrator.cli.terminal import console

    shown = section.differing if everything else section.differing[:ENTRIES_SHOWN]
    for entry in shown:
        _print_entry(entry)
    if len(shown) < len(section.differing):
        console.line(f"  and {len(section.differing) - len(shown)} more")
    if everything:
        for entry in section.equal:
            console.line(f"  {entry.name}: {cell_text(entry.a)}", console.DIM)


def _print_entry(entry: FieldPair) -> None:
    from orchestrator.cli.terminal import console

    delta = "" if entry.delta is None else f"   ({entry.delta:+.6g})"
    console.line(f"  {entry.name}{delta}")
    if entry.a is not None:
        console.line(f"  - {cell_text(entry.a)}", console.BAD)
    if entry.b is not None:
        console.line(f"  + {cell_text(entry.b)}", console.GOOD)


def cell_text(value: Cell) -> str:
    """A value so that two different ones never look the same: text in quotes where it looks like another."""
    from orchestrator.cli.terminal.clean_text import clean_line

    if not isinstance(value, str):
        return repr(value)
    plain = value.isprintable() and value.strip() == value and value not in ("", "True", "False", "None")
    return clean_line(value if plain and not _is_number(value) else repr(value))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
