"""Package URLs: how bills of materials, provenances and crates name a Python distribution."""

from __future__ import annotations

from urllib.parse import quote


def purl(name: str, version: str) -> str:
    """`pkg:pypi/scikit-learn@1.7.0`, by the rules for PyPI: lower case, `-` for `_`, dots stay."""
    return f"pkg:pypi/{quote(name.lower().replace('_', '-'), safe='')}@{quote(version, safe='')}"
