"""HTML for a notebook. Every text may be a stranger's: it is cleaned and escaped, and nothing is a link."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

from orchestrator.redaction import redactor
from orchestrator.view.forms.clean_text import clean_line


def table_html(
    columns: Sequence[tuple[str, Sequence[str]]], right: Sequence[str], notes: Iterable[str] = ()
) -> str:
    """`columns`: heading and cells of each. `right`: headings of numbers."""
    text_of = _texts()
    sides = ["right" if heading in right else "left" for heading, _ in columns]
    heads = "".join(
        f'<th style="text-align:{side}">{text_of(heading)}</th>'
        for (heading, _), side in zip(columns, sides, strict=True)
    )
    rows = (
        "".join(
            f'<td style="text-align:{side}">{text_of(cell)}</td>'
            for cell, side in zip(row, sides, strict=True)
        )
        for row in zip(*(cells for _, cells in columns), strict=True)
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>" if columns else "no runs"
    return f"<div>{table}{''.join(f'<p><small>{text_of(note)}</small></p>' for note in notes)}</div>"


def fields_html(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values under each other."""
    text_of = _texts()
    rows = (
        f'<tr><th style="text-align:left">{text_of(name)}</th>'
        f'<td style="text-align:left">{text_of(value)}</td></tr>'
        for name, value in pairs
        if value
    )
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _texts() -> Callable[[str], str]:
    """Cleans and escapes a text: secrets are looked up once for a whole table."""
    redacted = redactor()
    return lambda text: escape(clean_line(redacted(text)), quote=True)
