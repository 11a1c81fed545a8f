"""Words and numbers of verdicts: short, and never so short that two different values look the same."""

from __future__ import annotations


def number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.6g}"


def beside(original: float | None, rerun: float | None) -> str:
    """`0.9861 vs 0.9833`: six digits where they tell the two apart, else all of them."""
    short = number(original), number(rerun)
    if short[0] == short[1] and original is not None and rerun is not None:
        short = repr(original), repr(rerun)
    return f"{short[0]} vs {short[1]}"
