"""The structural difference: it names something exactly where two documents differ."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.structural_difference import differences, unequal_names

DOCUMENTS = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, [("a.b.1", 2, 3)]),
        ({"a": [1]}, {"a": [1, 2]}, [("a", [1], [1, 2])]),
        ({"a": [{"path": "x", "d": 1}]}, {"a": [{"path": "x", "d": 2}]}, [("a.x.d", 1, 2)]),
        ({"a": 1}, {"b": 1}, [("a", 1, None), ("b", None, 1)]),
        ({"a": None}, {}, []),
        ({"a": 1}, {"a": 1.0}, [("a", 1, 1.0)]),
        ({"a": True}, {"a": 1}, [("a", True, 1)]),
        ({"a": {}}, {"a": []}, [("a", {}, [])]),
        ("x", "y", [("", "x", "y")]),
    ],
)
def test_each_leaf_that_differs_is_named(a: Any, b: Any, expected: list[Any]) -> None:
    assert [(path, repr(x), repr(y)) for path, x, y in differences(a, b)] == [
        (path, repr(x), repr(y)) for path, x, y in expected
    ]


@given(DOCUMENTS, DOCUMENTS)
def test_two_documents_differ_exactly_where_their_json_does(a: Any, b: Any) -> None:
    written = [json.dumps(one, sort_keys=True) for one in (a, b)]
    assert bool(list(differences(a, b))) is (written[0] != written[1])
    assert not list(differences(a, a))
    assert [(path, y, x) for path, x, y in differences(a, b)] == list(differences(b, a))


def test_a_name_that_one_lacks_is_unequal_even_to_none() -> None:
    nan = float("nan")
    assert unequal_names({"a": None, "b": nan, "c": 0.0}, {"b": nan, "c": -0.0}) == ["a", "c"]
