"""Blocks of a view's page, cleaned, as templates/blocks.html prints them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from orchestrator.record.run_record import is_run_id
from orchestrator.redaction import redact_known, redactor
from orchestrator.view.forms.clean_text import clean_line, clean_text
from orchestrator.view.forms.page import Block, Fields, Patch, Table, Text, Tree, tone_of

Redact = Callable[[str], str]

RUN_COLUMNS = frozenset({"run", "a", "b", "original", "rerun"})  # their cells lead to a run
RUNS_COLUMN = "runs"  # each id in its cells leads to a run
RUN_FIELDS = RUN_COLUMNS | {"rerun of"}
_ID_INSIDE = re.compile(r"(?<![0-9A-Za-z])([0-9a-f]{16})(?![0-9A-Za-z])")
_BETWEEN = "\x1f"  # no cleaned text holds it
_PATCH = (("+++", "file"), ("---", "file"), ("diff ", "file"), ("@@", "place"), ("+", "more"), ("-", "less"))


class TextPiece(NamedTuple):
    """Of a text: plain, or a run's id, which leads to the run."""

    text: str
    run: bool = False


class Cell(NamedTuple):
    text: str
    tone: str = "plain"
    run: str = ""  # the run that it leads to
    right: bool = False
    pieces: Sequence[TextPiece] = ()  # where several runs stand in it


class Printed(NamedTuple):
    """One block as its template takes it."""

    kind: str
    text: Sequence[TextPiece] = ()
    tone: str = "plain"
    pairs: Sequence[tuple[str, str, Sequence[TextPiece]]] = ()  # name, tone, value
    columns: Sequence[Cell] = ()
    rows: Sequence[Sequence[Cell]] = ()
    lines: Sequence[tuple[str, str]] = ()  # kind and text, of a patch
    tree: Any = None


class Branch(NamedTuple):
    text: Sequence[TextPiece]
    children: Sequence[Branch]


def printed(page: Iterable[Block]) -> Iterator[Printed]:
    """Reads the page once. Empty texts, which part blocks in a terminal, are left out."""
    redacted = redactor()
    for block in page:
        match block:
            case Text():
                text = redacted(clean_text(block.text)).strip("\n")
                if text:
                    yield Printed("text", text=pieces(text), tone=block.tone.value)
            case Fields():
                pairs = [(name, value) for name, value in block.pairs if value]
                values = clean_cells([value for _, value in pairs], redacted)
                shown = [
                    (name, tone_of(text).value, pieces(text) if name in RUN_FIELDS else [TextPiece(text)])
                    for (name, _), text in zip(pairs, values, strict=True)
                ]
                if shown:
                    yield Printed("fields", pairs=shown)
            case Table():
                yield _table(block, redacted)
            case Tree():
                yield Printed("tree", tree=_branch(block, redacted))
            case Patch():
                text = redacted(clean_text(block.text.replace("\r", "^M")))
                yield Printed("patch", lines=list(_patch(text)))


def pieces(text: str) -> list[TextPiece]:
    """A sentence with the ids in it apart: 16 hex digits between other characters."""
    parts = _ID_INSIDE.split(text)
    return [TextPiece(part, place % 2 == 1) for place, part in enumerate(parts) if part]


def clean_cells(texts: Sequence[str], redacted: Redact = redact_known) -> list[str]:
    """Each in one line, without secrets: these are looked for once, in all of them together."""
    if not texts:
        return []
    return redacted(_BETWEEN.join(map(clean_line, texts))).split(_BETWEEN)


def cell_of(text: str, column: str = "", right: bool = False) -> Cell:
    run = text if column in RUN_COLUMNS and is_run_id(text) else ""
    return Cell(text, tone_of(text).value, run, right, pieces(text) if column == RUNS_COLUMN else ())


def _table(block: Table, redacted: Redact) -> Printed:
    right = [name in block.right for name in block.columns]
    given = list(block.rows)
    cells = iter(clean_cells([text for row in given for text in row], redacted))
    named = list(zip(block.columns, right, strict=True))
    rows = [[cell_of(next(cells), name, aside) for name, aside in named] for _ in given]
    heads = clean_cells(list(block.columns), redacted)
    columns = [Cell(name, right=aside) for name, aside in zip(heads, right, strict=True)]
    return Printed("table", columns=columns, rows=rows)


def _branch(tree: Tree, redacted: Redact) -> Branch:
    children = [_branch(child, redacted) for child in tree.children]
    return Branch(pieces(redacted(clean_line(tree.text))), children)


def _patch(text: str) -> Iterator[tuple[str, str]]:
    for line in text.removesuffix("\n").split("\n"):
        yield next((kind for start, kind in _PATCH if line.startswith(start)), "same"), line
