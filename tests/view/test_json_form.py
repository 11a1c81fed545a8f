"""What every document holds to."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.view.forms.json_form import json_text, jsonable

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
NESTED = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@given(NESTED)
def test_a_document_is_ascii_and_valid_json(value: object) -> None:
    text = json_text(value)
    assert all(character.isprintable() or character == "\n" for character in text) and text.isascii()
    assert json.loads(text, parse_constant=lambda word: pytest.fail(f"not JSON: {word}")) == jsonable(value)


def test_a_document_holds_no_control_characters() -> None:
    out = json_text({"name": "a\x1b[2J\u202e\x7f\x9b\udcff"})
    assert out.isascii()
    assert all(character.isprintable() or character == "\n" for character in out)


def test_a_document_of_something_else_is_an_error() -> None:
    with pytest.raises(TypeError, match="object"):
        jsonable(object())
