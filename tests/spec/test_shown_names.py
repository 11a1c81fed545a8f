from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec.shown_names import fits_a_line, in_one_line, is_plain

KEPT = [
    "ok \u6587\u4ef6.txt",
    "\u5168\u89d2\u3000\u7a7a\u767d.txt",
    "Screenshot 9.41.00\u202fPM.png",
    "nbsp\u00a0x",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "cafe\u0301",
    "\ufeffbom",
    "soft\u00adhyphen",
    "\U000e0067\U000e007f",  # letters of a flag
    "\U0001fae9",  # of a Unicode newer than some Pythons
    "\ue000",  # private use: icon fonts
]
REFUSED = [
    "a\tb",
    "a\nb",
    "\x1b[31m",
    "\x7f",
    "\x9b",
    "\u202e",
    "\u2066",
    "\u200f",
    "\u061c",
    "\ud800",
    "\udcff",
]


@pytest.mark.parametrize("name", KEPT)
def test_names_of_all_the_world_are_names(name: str) -> None:
    assert is_plain(name)
    assert in_one_line(name) == name


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_deceive_is_refused(name: str) -> None:
    assert not is_plain(name)
    assert is_plain(in_one_line(name))


@given(st.text())
def test_only_controls_surrogates_and_marks_of_direction_are_refused(text: str) -> None:
    direction = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    marks = "\u061c\u200e\u200f"
    bad = [
        letter
        for letter in text
        if unicodedata.category(letter) in ("Cc", "Cs")
        or unicodedata.bidirectional(letter) in direction
        or letter in marks
    ]
    assert is_plain(text) is (not bad)
    assert fits_a_line(in_one_line(text))


@given(st.binary(max_size=60))
def test_what_is_shown_of_a_file_name_is_plain(data: bytes) -> None:
    assert fits_a_line(in_one_line(os.fsdecode(data)))
