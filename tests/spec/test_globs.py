from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec.globs import WILD, glob_problem, matcher, unmatched


@pytest.mark.parametrize(
    ("glob", "problem"),
    [
        ("a/{b,c}.pt", "has braces"),
        ("model_{lr}.pt", "has braces"),
        ("!*.tmp", "begins with !"),
        (r"a\*b", "has a backslash"),
        ("[[:digit:]].pt", "has a class of characters"),
        ("/workspace/a", "leads outside"),
        ("a/../b", "leads outside"),
        ("models/", "names no file"),
        ("", "names no file"),
        (".", "has a part without a name"),
        ("a//b", "has a part without a name"),
    ],
)
def test_what_means_another_thing_than_it_says_is_refused_with_the_way_out(glob: str, problem: str) -> None:
    found = glob_problem(glob)
    assert found is not None
    assert found[0].startswith(problem)
    assert found[1]


@pytest.mark.parametrize(
    "glob",
    ["**", "./a", "*.pt", "a[0-9].pt", "[!]a]", "[{]a[}]", "a{", "[!]x", r"[\]", "a b", "größe/*", "~x"],
)
def test_all_else_is_taken(glob: str) -> None:
    assert glob_problem(glob) is None


@pytest.mark.parametrize(
    ("glob", "fitting", "other"),
    [
        ("**", ["a", "a/b", "a/b/c.pt"], []),
        ("*.pt", ["x.pt"], ["a/x.pt", "x.ptx"]),
        ("**/*.pt", ["x.pt", "a/x.pt", "a/b/x.pt"], ["x.p"]),
        ("a/**", ["a/x", "a/b/c"], ["b/x", "a"]),
        ("./x", ["x"], ["a/x"]),
        ("a?.txt", ["ab.txt"], ["a/.txt", "abc.txt"]),
        ("[x].pt", ["x.pt"], ["[x].pt", "y.pt"]),
        ("e[0-9].pt", ["e3.pt"], ["e.pt", "ea.pt", "e10.pt"]),
        ("e[!0-9].pt", ["ea.pt"], ["e3.pt"]),
        ("e[^0-9].pt", ["ea.pt"], ["e3.pt"]),
        ("[[]x].pt", ["[x].pt"], ["x.pt"]),
        ("models", ["models", "models/a.pt", "models/a/b.pt"], ["a/models", "models2/x"]),
        ("runs/*", ["runs/a", "runs/a/x.pt"], ["runs", "x"]),
        ("**/ckpt", ["ckpt/x", "a/ckpt", "a/b/ckpt/x/y"], ["ckpts/x"]),
        ("a/**/b", ["a/b", "a/c/d/b", "a/c/b/x"], ["b", "c/a/b"]),
        ("*.PT", ["x.PT"], ["x.pt"]),
        (".*", [".hidden", ".git/config"], ["x"]),
        ("a*b*c", ["abc", "axbxc", "abcbc"], ["ab", "abcb"]),
        ("a.pt", ["a.pt"], ["aXpt"]),
    ],
)
def test_each_form_of_a_glob(glob: str, fitting: list[str], other: list[str]) -> None:
    match = matcher([glob])
    assert [path for path in fitting if not match(path)] == []
    assert [path for path in other if match(path)] == []


@given(st.text(min_size=1).filter(lambda text: not WILD & set(text) and not text.startswith("./")))
def test_a_glob_without_wildcards_is_itself(text: str) -> None:
    assert matcher([text])(text)
    assert not matcher([text])(text + "x")


PARTS = st.sampled_from(
    ["a", "b", "ab", "*", "?", "[ab]", "[!a]", "[^a]", "a*", "*b", "**", "a?", "[a", "a[b"]
)
NAMES = st.sampled_from(["a", "b", "ab", "c", "abb", "[a", "^", ".a"])


def fits(parts: list[str], names: list[str]) -> bool:
    """The rules, as they are written down: slow, and short."""
    if not parts:
        return True  # the whole path, or a folder that it is in
    if not names:
        return False
    if parts[0] == "**":
        return len(parts) == 1 or any(fits(parts[1:], names[skipped:]) for skipped in range(len(names)))
    part = re.sub(r"\[\^(?=[^\]]*\])", "[!", parts[0])
    return fnmatchcase(names[0], part) and fits(parts[1:], names[1:])


@given(st.lists(PARTS, min_size=1, max_size=5), st.lists(NAMES, min_size=1, max_size=5))
def test_a_path_fits_as_the_rules_say(parts: list[str], names: list[str]) -> None:
    assert matcher(["/".join(parts)])("/".join(names)) is fits(parts, names)


@given(
    st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join)),
    st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join)),
)
def test_a_glob_is_unmatched_where_no_path_fits_it(globs: list[str], paths: list[str]) -> None:
    alone = {glob for glob in globs if not any(matcher([glob])(path) for path in paths)}
    assert set(unmatched(globs, paths)) == alone


def test_many_stars_against_a_long_name_come_to_an_end() -> None:
    """An expression that goes back and tries again would need longer than there is."""
    assert not matcher(["*a" * 60 + "b"])("a" * 255)
    assert not matcher(["**/" * 40 + "*a*b"])("/".join(["a" * 10] * 60))
