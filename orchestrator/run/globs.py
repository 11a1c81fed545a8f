"""Globs over relative paths: `*` and `?` stay inside one folder, `**` crosses folders.

`**` alone is everything; `dir/**` everything under a folder; `*.pt` only at the top; `**/*.pt` anywhere,
the top included. There are no brackets and no braces. A leading `./` is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache


@lru_cache(maxsize=512)
def pattern(glob: str) -> re.Pattern[str]:
    parts = glob.removeprefix("./").split("/")
    text = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            text += ".*" if last else "(?:.*/)?"
        else:
            text += re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
            text += "" if last else "/"
    return re.compile(text + r"\Z", re.DOTALL)


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Whether a relative path fits any of the globs."""
    patterns = [pattern(glob) for glob in globs]
    return lambda path: any(one.match(path) for one in patterns)
