"""What people see: lines, fields and tables. The only importer of rich, and only for a terminal.

Where standard output is not a terminal the text is plain: no colours, nothing cut off, columns aligned
with spaces. Everything printed here is cleaned first (clean_text.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from orchestrator.cli.terminal.clean_text import clean_line, clean_text
from orchestrator.redaction import redact, redact_known

if TYPE_CHECKING:
    from rich.console import Console

FOLDED = 26  # characters: a column that is wider may be folded down to so much in a terminal; an id is 16
GOOD, BAD, ODD, DIM, BOLD = "bold green", "bold red", "bold yellow", "dim", "bold"

WORD_STYLES = {
    "succeeded": GOOD,
    "identical": GOOD,
    "within_tolerance": GOOD,
    "ok": GOOD,
    "agrees": GOOD,
    "failed": BAD,
    "different": BAD,
    "wrong": BAD,
    "differs": BAD,
    "damaged": BAD,
    "lost": ODD,
    "cancelled": ODD,
    "not_comparable": ODD,
    "not_instrumented": ODD,
}

_PATCH_STYLES = (
    ("+++", BOLD),
    ("---", BOLD),
    ("diff ", BOLD),
    ("index ", DIM),
    ("@@", "cyan"),
    ("+", "green"),
    ("-", "red"),
)


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def line(text: str = "", style: str = "") -> None:
    """One or more lines on standard output."""
    _write(sys.stdout, text, style)


def tell(text: str, style: str = "") -> None:
    """One or more lines on standard error: progress, warnings, advice."""
    _write(sys.stderr, text, style)


def _write(stream: TextIO, text: str, style: str) -> None:
    text = clean_text(redact(text) if stream is sys.stderr else redact_known(text))
    if style and is_terminal(stream):
        from rich.text import Text

        _rich(stream).print(Text(text, style=style), soft_wrap=True)
    else:
        stream.write(text + "\n")


def _rich(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False)


def fields(pairs: Iterable[tuple[str, str]], indent: int = 0) -> None:
    """Names and values under each other; a pair whose value is empty is left out."""
    shown = [(name, clean_line(value)) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        style = WORD_STYLES.get(value.split(" ", 1)[0], "")
        if style and is_terminal(sys.stdout):
            from rich.text import Text

            text = Text(" " * indent + f"{name:<{width}}  ").append(value, style)
            _rich(sys.stdout).print(text, soft_wrap=True)
        else:
            sys.stdout.write(" " * indent + f"{name:<{width}}  {value}\n")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
    """A table with a heading; the columns named in `right` are aligned to the right."""
    cleaned = [[clean_line(cell) for cell in row] for row in rows]
    if is_terminal(sys.stdout):
        _rich_table(headers, cleaned, right)
    else:
        _plain_table(headers, cleaned, right)


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
    from rich.table import Table
    from rich.text import Text

    out = _rich(sys.stdout)
    widths = [max(len(header), *(len(row[n]) for row in rows), 0) for n, header in enumerate(headers)]
    if sum(min(width, FOLDED) + 2 for width in widths) > out.width:
        _plain_table(headers, rows, right)  # its lines are the terminal's to wrap, which keeps ids whole
        return
    drawn = Table(box=None, header_style=BOLD, pad_edge=False, padding=(0, 2, 0, 0))
    for header, width in zip(headers, widths, strict=True):
        justify: Any = "right" if header in right else "left"
        drawn.add_column(header.upper(), justify=justify, overflow="fold", no_wrap=width <= FOLDED)
    for row in rows:
        drawn.add_row(*(Text(cell, style=WORD_STYLES.get(cell.split(" ", 1)[0], "")) for cell in row))
    out.print(drawn)


def patch(text: str) -> None:
    """A unified diff, with the colours that people know from git; a carriage return is seen as ^M."""
    text = clean_text(text.replace("\r", "^M"))
    if not is_terminal(sys.stdout):
        sys.stdout.write(text)
        return
    from rich.text import Text

    out = _rich(sys.stdout)
    for row in text.removesuffix("\n").split("\n"):
        style = next((style for start, style in _PATCH_STYLES if row.startswith(start)), "")
        out.print(Text(row, style=style), soft_wrap=True)


class Branch(NamedTuple):
    text: str
    children: Sequence[Branch]


def tree(root: Branch) -> None:
    """A tree; where nothing is a terminal, drawn with plain characters."""
    if is_terminal(sys.stdout):
        from rich.text import Text
        from rich.tree import Tree

        drawn = Tree(Text(clean_line(root.text), style=BOLD))
        ends = [(drawn, child) for child in root.children]
        while ends:
            above, branch = ends.pop(0)
            node = above.add(Text(clean_line(branch.text)))
            ends += [(node, child) for child in branch.children]
        _rich(sys.stdout).print(drawn, soft_wrap=True)
    else:
        sys.stdout.write(clean_line(root.text) + "\n")
        _plain_branches(root.children, "")


def _plain_branches(branches: Sequence[Branch], margin: str) -> None:
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
