"""The YAML of job files: what a scalar means, and what is refused, with its line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec.jobfile.problems import SHOWN, Problem, SpecError
from orchestrator.spec.jobfile.strict_yaml import BAD, YamlNode, read_yaml


def plain(node: YamlNode | None) -> Any:
    assert node is not None
    if isinstance(node.value, dict):
        return {key: plain(item) for key, item in node.value.items()}
    return [plain(item) for item in node.value] if isinstance(node.value, list) else node.value


def read(text: str) -> Any:
    node, problems = read_yaml(text, "job.yaml")
    assert not problems, problems
    return plain(node)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.10", 1.1),
        (".5", 0.5),
        ("5.", 5.0),
        ("+1", 1),
        ("-0", 0),
        ("0.0", 0.0),
        ("1E5", 1e5),
        ("0o17", 15),
        ("0xff", 255),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("tRUE", "tRUE"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("~", None),
        ("", None),
        ("null", None),
        ("Null", None),
        ("nil", "nil"),
        ('"1"', "1"),
        ("'no'", "no"),
        ('""', ""),
        ("=", "="),
        ("|\n  1\n", "1\n"),
        (">-\n  a\n  b\n", "a b"),
        ('"a\tb"', "a\tb"),
        ("nan", "nan"),
        ("9223372036854775807", (1 << 63) - 1),
    ],
)
def test_scalars(text: str, value: object) -> None:
    found = read(f"key: {text}")["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "lines", "word"),
    [
        ("a: 1\nb: 2\na: 3\n", [3], "twice"),
        ("a: {b: 1,\n b: 2}", [2], "twice"),
        ("a: &x 1\nb: *x\n", [1, 2], "anchors"),
        ("a: 1\nb: *x\n", [2], "aliases"),
        ("a: 1\n<<: {b: 1}\n", [2], "merge keys"),
        ("a: !!int 3\n", [1], "tags"),
        ("a: ! 3\n", [1], "tags"),
        ("a: !!python/object:os.system []\n", [1], "tags"),
        ("!!map\na: 1\n", [1], "tags"),
        ("a: 1\n---\nb: 2\n", [2], "second document"),
        ("%YAML 1.1\n---\na: 1\n", [2], "version"),
        ("a: .nan\nb: 1\nc: -.INF\n", [1, 3], "compared"),
        ("a: 1e999\n", [1], "too large"),
        ("a: 0755\n", [1], "zero"),
        ("a: -08\n", [1], "zero"),
        ("a: 9223372036854775808\n", [1], "64 bits"),
        ("a: " + "9" * 9999, [1], "64 bits"),
        ("a: 0x" + "f" * 99, [1], "64 bits"),
        ("1: a\n", [1], "keys are text"),
        ("true: a\n", [1], "keys are text"),
        ("? [a]\n: 1\n", [1], "keys are text"),
        ("x:\n  ~: 1\n", [2], "keys are text"),
        ('a: "\\0"\n', [1], "NUL"),
        ('a: "\\ud800"\n', [1], "surrogate"),
        ('"\\0": 1\n', [1], "NUL"),
    ],
)
def test_refused(text: str, lines: list[int], word: str) -> None:
    _, problems = read_yaml(text, "job.yaml")
    assert [problem.line for problem in problems] == lines
    assert word in str(problems[0])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1\n", 3),
        ("a: b: c", 1),
        ("a:\n\tb: 1", 2),
        ("a: 1\nb: @x", 2),
        ("a: 1\nb: \x00", 2),
        ('a: 1\nb: "\\UFFFFFFFF"', 2),
        ("a: 1\n" + "x: " + "[" * 33, 2),
        ("[" + "a, " * 20_001 + "]", 1),
    ],
)
def test_syntax_errors_stand_alone(text: str, line: int) -> None:
    with pytest.raises(SpecError) as caught:
        read_yaml(text, "job.yaml")
    assert [problem.line for problem in caught.value.problems] == [line]


def test_line_ends_tabs_and_marks() -> None:
    text = "\ufeffa: 1\r\nb:\t2\t# tab\r\nc: [1,\t2]\r\n"
    assert read(text.removeprefix("\ufeff")) == read(text) == {"a": 1, "b": 2, "c": [1, 2]}
    node, _ = read_yaml(text, "job.yaml")
    assert node is not None
    assert [item.line for item in node.value.values()] == [1, 2, 3]


def test_a_value_in_a_mapping_has_the_line_of_its_key() -> None:
    node, _ = read_yaml("a:\n  - 1\n  - b:\n      2\n", "job.yaml")
    assert node is not None
    assert node.value["a"].line == 1
    assert node.value["a"].value[1].line == 3
    assert node.value["a"].value[1].value["b"].line == 3


def test_depth_that_is_allowed() -> None:
    assert read("[" * 30 + "]" * 30)


def test_a_bad_value_is_marked_and_the_first_of_two_keys_stays() -> None:
    node, _ = read_yaml("a: .nan\nb: 1\nb: 2", "job.yaml")
    assert node is not None
    assert node.value["a"].value is BAD
    assert node.value["b"].value == 1


def test_a_flood_of_problems_is_cut_in_the_message_only() -> None:
    error = SpecError([Problem("job.yaml", line, "a", "wrong") for line in range(200, 0, -1)])
    assert error.message.splitlines()[0] == "job.yaml:1: a: wrong"
    assert error.message.splitlines()[-1] == f"and {200 - SHOWN} more"
    assert len(error.problems) == 200


@given(
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(1 << 63), (1 << 63) - 1) | st.booleans()
)
def test_json_scalars_are_read_as_they_are(value: float) -> None:
    found = read(f"a: {json.dumps(value)}")["a"]
    assert (found, type(found)) == (value, type(value))


@given(st.text(st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=["Cs"])))
def test_quoted_text_is_read_as_it_is(text: str) -> None:
    assert read('{"a": ' + json.dumps(text) + "}") == {"a": text}
