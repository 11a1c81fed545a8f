"""Cleaning: whatever a job writes, in whatever chunks, nothing that moves a terminal comes out."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import tries

from orchestrator.view.forms import clean_text as module
from orchestrator.view.forms.clean_text import HELD_LINE, HELD_SEQUENCE, Cleaner, clean_line, clean_text

# Written out once more, independently of the module under test.
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

# Pieces that mean something to a terminal, so that hypothesis puts them together often.
SEQUENCES = [b"\x1b", b"[", b"]0;", b"31m", b"\x07", b"\x1b\\", b"\x9b", b"\xc2\x9b", b"\xc2\x9d", b"P", b";"]
BROKEN = [b"\xed\xa0\x80", b"\xc3", b"\x00", "\u202e".encode(), "\u2067".encode(), "\u200f".encode()]
PLAIN = [b"text ", "é".encode(), b"\r", b"\n", b"\t"]
NASTY = st.sampled_from([*SEQUENCES, *BROKEN, *PLAIN])
STREAMS = st.lists(NASTY | st.binary(max_size=6), max_size=40).map(b"".join)

# The plain reading of what is a sequence and what a control, one alternative beside the other: what
# `clean_text._TOKENS` says in a form that is fast.
CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
ENDS = r"\x07\x1b\x9c\n"
TOKENS = re.compile(
    r"(?:\x1b\[|\x9b)[\x20-\x3f]*[\x40-\x7e]"
    rf"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^{ENDS}]*(?:\x07|\x1b\\|\x9c|(?=\n|\x1b[^\\]))"
    r"|\x1b[\x20-\x2f]+[\x30-\x7e]|\x1b(?![\[\]PX^_])[\x30-\x7e]"
    rf"|(?P<unfinished>(?:(?:\x1b\[|\x9b)[\x20-\x3f]*|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^{ENDS}]*\x1b?"
    r"|\x1b[\x20-\x2f]*)\Z)"
    r"|(?:\x1b\[|\x9b)[\x20-\x3f]*"
    rf"|(?!\r)[{CONTROLS}]"
)
MARKS = "\x1b\x1b\x1b[]PX^_()#\\;?019mhAz ~é█\x07\r\n\t\x00\x08\x0b\x0c\x0e\x7f"
MARKS += "\x80\x90\x98\x9b\x9c\x9d\x9f\xa0\u061c\u200b\u200e\u200f\u2028\u202a\u202e\u2066\u2069\u206a"
MARKS += "\ud7ff\ud800\udc80\udfff\ue000\U0001f600"
RUNS = st.builds(str.__mul__, st.sampled_from(MARKS), st.sampled_from([1, 1, 1, 2, 3, 5000, HELD_LINE + 1]))
HOSTILE = st.lists(st.text(MARKS, max_size=30) | RUNS, max_size=8).map("".join)


def steps_of(chunks: list[bytes]) -> list[tuple[str, ...]]:
    """What comes of each chunk, what is held back then, and what comes at the end."""
    cleaner = Cleaner()
    return [
        *((cleaner.feed(chunk), cleaner._sequence, cleaner._line) for chunk in chunks),
        (cleaner.close(),),
    ]


def clean_all(chunks: list[bytes]) -> str:
    cleaner = Cleaner()
    return "".join([cleaner.feed(chunk) for chunk in chunks]) + cleaner.close()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(STREAMS, st.lists(st.integers(0, 1000), max_size=8))
def test_nothing_dangerous_comes_out_and_chunks_do_not_matter(data: bytes, places: list[int]) -> None:
    whole = clean_all([data])
    assert not FORBIDDEN.search(whole)
    assert clean_all(cut(data, places)) == whole
    assert clean_all([data[i : i + 1] for i in range(len(data))]) == whole


@settings(max_examples=tries(400))
@given(HOSTILE, st.lists(st.integers(0, 1 << 20), max_size=8))
def test_what_is_dropped_is_what_the_plain_reading_drops(text: str, places: list[int]) -> None:
    assert clean_text(text) == TOKENS.sub("", text).replace("\r", "")
    data = text.encode("utf-8", "surrogatepass")
    for chunks in ([data], cut(data, places)):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(module, "_TOKENS", TOKENS)
            plain = steps_of(chunks)
        assert steps_of(chunks) == plain


def test_re_goes_straight_from_one_control_to_the_next() -> None:
    """A pattern that begins with a class is tried where a character of that class is, and nowhere else."""
    assert str(re._parser.parse(module._TOKENS.pattern)[0][0]) == "IN"  # type: ignore[attr-defined]


@given(st.text("\ra ", max_size=20))
def test_of_a_redrawn_line_the_last_text_is_kept(line: str) -> None:
    assert module._last_state(line) == next((part for part in reversed(line.split("\r")) if part), "")


@given(STREAMS)
def test_the_partial_line_is_clean_too(data: bytes) -> None:
    cleaner = Cleaner()
    cleaner.feed(data)
    assert not FORBIDDEN.search(cleaner.partial)
    assert "\n" not in cleaner.partial


@given(st.text(alphabet=st.characters(exclude_categories=("Cc", "Cf", "Cs")), max_size=200))
def test_harmless_text_is_untouched(text: str) -> None:
    assert clean_all([text.encode()]) == text


@given(st.text(max_size=100))
def test_names_are_one_clean_line(name: str) -> None:
    assert not FORBIDDEN.search(clean_text(name))
    line = clean_line(name)
    assert not FORBIDDEN.search(line)
    assert "\n" not in line
    assert "\t" not in line


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x1b[1;31mred\x1b[0m\n", "red\n"),
        (b"a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", "ablink\n"),
        (b"\x1b]0;never ended\nnext\n", "\nnext\n"),
        (b"\x1bP1$r\x1b\\x\x1b(By\x1b=z", "xyz"),
        (b"one\r\ntwo\r\n", "one\ntwo\n"),
        (b" 10%|#  |\r 50%|## |\r100%|###|\n", "100%|###|\n"),
        (b" 10%\r 50%\r", " 50%"),
        (b"long text\rshort\n", "short\n"),
        (b"bell\x07 back\x08 null\x00\n", "bell back null\n"),
        ("user\u202egpj.exe\u2066\n".encode(), "usergpj.exe\n"),
        (b"bad \xff utf\n", "bad � utf\n"),
        (b"broken \x1b[31\x01m\n", "broken m\n"),
        (b"no newline", "no newline"),
    ],
)
def test_examples(data: bytes, expected: str) -> None:
    assert clean_all([data]) == expected


def test_a_progress_bar_of_any_length_costs_no_memory() -> None:
    cleaner = Cleaner()
    for step in range(20_000):
        assert cleaner.feed(b"\r%6d/20000 [#########          ]" % step) == ""
        assert len(cleaner._line) <= HELD_LINE
    assert cleaner.partial.startswith(" 19999/20000")


def test_an_endless_line_and_an_endless_sequence_are_let_go() -> None:
    cleaner = Cleaner()
    text = "".join(cleaner.feed(b"x" * 1000) for _ in range(200)) + cleaner.close()
    assert text == "x" * 200_000
    cleaner = Cleaner()
    for _ in range(100):
        cleaner.feed(b"\x1b]0;" + b"y" * 1000)
        assert len(cleaner._sequence) <= HELD_SEQUENCE
    assert cleaner.feed(b"\x07after\n").endswith("after\n")
