"""Globs over relative paths, by the rules of Python's `fnmatch` for each part between slashes.

`*` and `?` stay inside one folder, `[ab]`, `[0-9]` and `[!a]` are one character, `**` as a whole part
crosses folders. `*.pt` is at the top, `**/*.pt` anywhere, the top included. A glob that fits a folder takes
all that is in it. Names that begin with a dot are like any other, capitals count, a leading `./` does not.

`fnmatch` makes regular expressions that cannot backtrack without end, whatever the number of stars. That
matters: globs come with other people's images, and names from jobs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache

EVERYTHING = "**"
WILD = frozenset("*?[")

_BRACKET = re.compile(r"\[[!^]?\]?[^\]]{0,1000}\]")  # bounded: else each `[` of thousands looks to the end


def glob_problem(glob: str) -> tuple[str, str] | None:
    """Why a glob is refused, and how to mend it: it would not mean what it seems to say."""
    parts = glob.removeprefix("./").split("/")
    if glob.startswith("/") or ".." in parts:
        return "leads outside", "outputs lie under the job's working directory"
    if not glob or glob.endswith("/"):
        return "names no file", "write folder/** for all that is in a folder"
    if "" in parts or "." in parts:
        return "has a part without a name", "write ** for everything, a/b for a//b and a/./b"
    if "[[:" in glob:
        return "has a class of characters", "write the characters themselves, such as [0-9] or [a-z]"
    outside = _BRACKET.sub("", glob)
    if "\\" in outside:
        return "has a backslash, which escapes nothing", "write [*] for a star, [?] and [[] likewise"
    if "{" in outside and "}" in outside:
        hint = "no braces, no parameters: write one glob for each, or a star; [{] is the brace itself"
        return "has braces, which stand for nothing in a glob", hint
    if glob.startswith("!"):
        return "begins with !, which takes nothing out", "list what is kept; [!] is the mark itself"
    return None


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Whether a relative path fits any of the globs."""
    tests = [_test(glob) for glob in globs]
    return lambda path: any(test(path) for test in tests)


def unmatched(globs: Iterable[str], paths: Iterable[str]) -> list[str]:
    """The globs that no path fits, in their order."""
    left = {glob: _test(glob) for glob in globs}
    for path in paths:
        if not left:
            break
        left = {glob: test for glob, test in left.items() if not test(path)}
    return list(left)


@lru_cache(maxsize=512)
def _test(glob: str) -> Callable[[str], bool]:
    parts = [None if part == "**" else _part(part) for part in glob.removeprefix("./").split("/")]
    if parts == [None]:
        return lambda _: True
    return lambda path: _fits(parts, path.split("/"))


def _part(glob: str) -> re.Pattern[str]:
    """`[^a]` is `[!a]`, as in shells."""
    return re.compile(translate(re.sub(r"\[\^(?=\]?[^\]]*\])", "[!", glob)))


def _fits(parts: list[re.Pattern[str] | None], names: list[str]) -> bool:
    """Follows, name by name, every place in `parts` (None is `**`) that the names so far can reach."""
    end = len(parts)
    places = _with_skips({0}, parts)
    for name in names:
        nexts = set()
        for place in places:
            part = parts[place]
            if part is None:
                nexts.add(place)
                if place == end - 1:
                    return True
            elif part.match(name):
                nexts.add(place + 1)
        if end in nexts:
            return True  # the glob fits the path, or a folder above it
        places = _with_skips(nexts, parts)
    return False


def _with_skips(places: set[int], parts: list[re.Pattern[str] | None]) -> set[int]:
    """The places, and those after each `**`, which may stand for no folder. A last `**` needs a name."""
    found = set(places)
    for place in sorted(places):
        while place < len(parts) - 1 and parts[place] is None:
            place += 1
            found.add(place)
    return found
