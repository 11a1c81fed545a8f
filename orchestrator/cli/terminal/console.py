"""Prints pages, in a terminal and elsewhere. It alone imports rich, and only for a terminal.

Where standard output is not a terminal the text is plain: no colours, nothing cut off, columns aligned
with spaces. Everything printed here is cleaned first (view/forms/clean_text.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

from orchestrator.redaction import redact, redact_known
from orchestrator.view.forms.clean_text import clean_line, clean_text
from orchestrator.view.forms.json_form import json_text
from orchestrator.view.forms.page import Block, Fields, Patch, Table, Text, Tone, Tree, View, tone_of

if TYPE_CHECKING:
    from rich.console import Console

FOLDED = 26  # characters: in a terminal a wider column may be folded to this width; an id has 16

_STYLES = {
    Tone.PLAIN: "",
    Tone.GOOD: "bold green",
    Tone.BAD: "bold red",
    Tone.ODD: "bold yellow",
    Tone.QUIET: "dim",
    Tone.STRONG: "bold",
}

_PATCH_STYLES = (
    ("+++", "bold"),
    ("---", "bold"),
    ("diff ", "bold"),
    ("index ", "dim"),
    ("@@", "cyan"),
    ("+", "green"),
    ("-", "red"),
)


def print_view(view: View, as_json: bool, quiet: bool = False) -> None:
    """An answer in the form that was asked for: a document, a word, or a page."""
    if as_json:
        print_document(view.document)
    elif quiet:
        line(view.word)
    else:
        show(view.page)


def print_document(document: Any) -> None:
    """One JSON document on standard output."""
    with _going_on_without_reader():
        click.echo(redact_known(json_text(document)))


def show(page: Iterable[Block]) -> None:
    """A page on standard output."""
    with _going_on_without_reader():
        for block in page:
            match block:
                case Text():
                    _write(sys.stdout, block.text, block.tone)
                case Fields():
                    _fields(block)
                case Table():
                    _table(block)
                case Tree():
                    _tree(block)
                case Patch():
                    _patch(block.text)


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def line(text: str = "", tone: Tone = Tone.PLAIN) -> None:
    """One or more lines on standard output."""
    with _going_on_without_reader():
        _write(sys.stdout, text, tone)


def tell(text: str, tone: Tone = Tone.PLAIN) -> None:
    """One or more lines on standard error: progress, warnings, advice. No verb fails for want of a reader."""
    try:
        _write(sys.stderr, text, tone)
    except OSError:
        silence(sys.stderr)


@contextmanager
def _going_on_without_reader() -> Iterator[None]:
    """Who read the answer may have gone (`| head`); the exit code still says what it was."""
    try:
        yield
    except BrokenPipeError:
        silence(sys.stdout)


def _write(stream: TextIO, text: str, tone: Tone) -> None:
    text = clean_text(redact(text) if stream is sys.stderr else redact_known(text))
    if tone is not Tone.PLAIN and is_terminal(stream):
        from rich.text import Text as RichText

        _rich(stream).print(RichText(text, style=_STYLES[tone]), soft_wrap=True)
    else:
        stream.write(text + "\n")


def _rich(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False)


def _fields(block: Fields) -> None:
    """Names and values under each other."""
    shown = [(name, clean_line(value)) for name, value in block.pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        start, tone = " " * block.indent + f"{name:<{width}}  ", tone_of(value)
        if tone is not Tone.PLAIN and is_terminal(sys.stdout):
            from rich.text import Text as RichText

            _rich(sys.stdout).print(RichText(start).append(value, _STYLES[tone]), soft_wrap=True)
        else:
            sys.stdout.write(f"{start}{value}\n")


def _table(block: Table) -> None:
    cleaned = [[clean_line(cell) for cell in row] for row in block.rows]
    draw = _rich_table if is_terminal(sys.stdout) else _plain_table
    draw(block.columns, cleaned, block.right)


def _plain_table(headers: Sequence[str], rows: list[list[str]], right: Sequence[str]) -> None:
    every = [[header.upper() for header in headers], *rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(headers))]
    for row in every:
        cells = (
            cell.rjust(width) if header in right else cell.ljust(width)
            for cell, width, header in zip(row, widths, headers, strict=True)
        )
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _rich_table(headers: Sequence[str], rows: list[list[str]], right: Sequence[str]) -> None:
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

    out = _rich(sys.stdout)
    widths = [max(len(header), *(len(row[n]) for row in rows), 0) for n, header in enumerate(headers)]
    if sum(min(width, FOLDED) + 2 for width in widths) > out.width:
        _plain_table(headers, rows, right)  # the terminal wraps its lines, and ids stay in one piece
        return
    drawn = RichTable(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for header, width in zip(headers, widths, strict=True):
        justify: Any = "right" if header in right else "left"
        drawn.add_column(header.upper(), justify=justify, overflow="fold", no_wrap=width <= FOLDED)
    for row in rows:
        drawn.add_row(*(RichText(cell, style=_STYLES[tone_of(cell)]) for cell in row))
    out.print(drawn)


def _patch(text: str) -> None:
    """With the colours that people know from git; a carriage return is seen as ^M."""
    text = clean_text(text.replace("\r", "^M"))
    if not is_terminal(sys.stdout):
        sys.stdout.write(text)
        return
    from rich.text import Text as RichText

    out = _rich(sys.stdout)
    for row in text.removesuffix("\n").split("\n"):
        style = next((style for start, style in _PATCH_STYLES if row.startswith(start)), "")
        out.print(RichText(row, style=style), soft_wrap=True)


def _tree(root: Tree) -> None:
    if not is_terminal(sys.stdout):
        sys.stdout.write(clean_line(root.text) + "\n")
        _plain_branches(root.children, "")
        return
    from rich.text import Text as RichText
    from rich.tree import Tree as RichTree

    drawn = RichTree(RichText(clean_line(root.text), style="bold"))
    ends = [(drawn, child) for child in root.children]
    while ends:
        above, branch = ends.pop(0)
        node = above.add(RichText(clean_line(branch.text)))
        ends += [(node, child) for child in branch.children]
    _rich(sys.stdout).print(drawn, soft_wrap=True)


def _plain_branches(branches: Sequence[Tree], margin: str) -> None:
    for number, branch in enumerate(branches, 1):
        last = number == len(branches)
        sys.stdout.write(f"{margin}{'`-- ' if last else '|-- '}{clean_line(branch.text)}\n")
        _plain_branches(branch.children, margin + ("    " if last else "|   "))


def silence(stream: TextIO) -> None:
    """Send a stream whose reader is gone to nowhere, so that nothing fails when it is flushed."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # not a real file: a test's capture
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
