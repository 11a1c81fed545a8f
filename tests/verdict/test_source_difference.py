from __future__ import annotations

import difflib
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.digest import Digest
from orchestrator.image.assembly.read_source_layer import SourceText
from orchestrator.verdict import source_difference
from orchestrator.verdict.source_difference import Change, code_difference


def text(data: str | bytes, **changes: object) -> SourceText:
    raw = data.encode() if isinstance(data, str) else data
    return SourceText.model_validate({"digest": Digest.of(raw), "size": len(raw), "data": raw, **changes})


def digest_only(data: str) -> SourceText:
    return SourceText(digest=Digest.of(data.encode()))


def test_a_changed_line_is_a_patch_and_equal_files_are_left_out() -> None:
    a = {"train.py": text("one\ntwo\nthree\n"), "same.py": text("x")}
    b = {"train.py": text("one\n2\nthree\n"), "same.py": text("x")}
    [found] = code_difference(a, b)
    assert (found.path, found.change, found.why) == ("train.py", Change.CHANGED, "")
    assert found.patch == "--- a/train.py\n+++ b/train.py\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
    assert code_difference(a, a) == ()


def test_new_and_removed_files_are_whole_patches() -> None:
    found = code_difference({"old": text("a\n")}, {"new": text("b\n"), "empty": text("")})
    assert [(item.path, item.change) for item in found] == [
        ("empty", Change.ADDED),
        ("new", Change.ADDED),
        ("old", Change.REMOVED),
    ]
    assert found[0].patch == "--- /dev/null\n+++ b/empty\n"
    assert found[1].patch.startswith("--- /dev/null\n+++ b/new\n") and "+b\n" in found[1].patch
    assert found[2].patch.startswith("--- a/old\n+++ /dev/null\n") and "-a\n" in found[2].patch


def test_a_missing_last_line_feed_is_said() -> None:
    [found] = code_difference({"f": text("a\nb")}, {"f": text("a\nb\n")})
    assert found.patch.endswith("-b\n\\ No newline at end of file\n+b\n")
    [found] = code_difference({"f": text("a\x0cb\n")}, {"f": text("a\x0cc\n")})
    assert "-a\x0cb\n" in found.patch  # a form feed ends no line


def test_modes_and_links_are_part_of_it() -> None:
    [found] = code_difference({"f": text("a\n")}, {"f": text("a\n", executable=True)})
    assert found.patch.splitlines()[:2] == ["old mode 644", "new mode 755"]
    [found] = code_difference({"f": text("target")}, {"f": text("target", symlink=True)})
    assert "+link to target\n" in found.patch


@pytest.mark.parametrize(
    ("one", "two", "why"),
    [
        (text(b"\0\1"), text("x"), "binary"),
        (text("x"), text(b"\xff"), "binary"),
        (
            digest_only("x").model_copy(update={"size": 300_000}),
            text("y"),
            "too long: 300,000 bytes and 1 bytes",
        ),
        (digest_only("x"), text("y"), "contents are not on this box"),
        (text("y"), digest_only("x"), "contents are not on this box"),
    ],
)
def test_what_cannot_be_shown_is_named_with_the_reason(one: SourceText, two: SourceText, why: str) -> None:
    [found] = code_difference({"f": one}, {"f": two})
    assert (found.change, found.patch, found.why) == (Change.CHANGED, "", why)


def test_a_digest_is_enough_to_know_that_nothing_changed() -> None:
    assert code_difference({"f": digest_only("x")}, {"f": text("x", executable=True)}) == ()


def test_long_patches_stop_and_later_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_difference, "MAX_LINES", 6)
    a = {name: text("1\n") for name in "abc"}
    b = {name: text("2\n") for name in "abc"}
    found = code_difference(a, b)
    assert [bool(item.patch) for item in found] == [True, False, False]
    assert "lines of differences before it" in found[1].why


def test_a_name_cannot_forge_a_line() -> None:
    [found] = code_difference({}, {"a\n+++ b/other\x1b[2J\u202e": text("x\n")})
    assert found.patch.splitlines()[1] == "+++ b/a\\n+++ b/other\\x1b[2J\\u202e"


LINES = st.lists(st.sampled_from([f"{letter}\n" for letter in "abcd"]), max_size=30)


@given(LINES, LINES)
def test_patches_are_those_of_difflib(before: list[str], after: list[str]) -> None:
    found = code_difference({"f": text("".join(before))}, {"f": text("".join(after))})
    wanted = "".join(difflib.unified_diff(before, after, "a/f", "b/f"))
    assert "".join(item.patch for item in found) == wanted


def test_lines_that_repeat_each_other_do_not_hold_who_looks() -> None:
    """None of these is so frequent that difflib leaves it out: each look takes 32 million steps."""
    words = [f"{number:02x}\n" for number in range(200)]
    generator = random.Random(1)
    one, two = ("".join(generator.choices(words, k=80_000)) for _ in range(2))
    began = time.process_time()
    slow, plain = code_difference({"a": text(one), "b": text("1\n")}, {"a": text(two), "b": text("2\n")})
    assert time.process_time() - began < 5
    assert (slow.patch, slow.why) == ("", "its lines repeat each other too often to be compared one by one")
    assert plain.patch.endswith("-1\n+2\n")
