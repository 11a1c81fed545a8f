from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec.jobfile.input_reference import DataReference, RunReference, read_reference


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("../data", None),
        ("./data:x", None),
        ("data:mnist", DataReference(name="mnist")),
        ("data:mnist@3", DataReference(name="mnist", version=3)),
        ("run:0123abcd/model.pt", RunReference(run="0123abcd", path="model.pt")),
        ("run:production/ckpt/", RunReference(run="production", path="ckpt")),
        ("run:0123abcd", RunReference(run="0123abcd")),
        ("run:digits@latest/a/b", RunReference(run="digits", pick="latest", path="a/b")),
        (
            "run:digits@best(val.acc.max)/m",
            RunReference(run="digits", pick="best", metric="val.acc.max", path="m"),
        ),
        ("run:digits@least(loss)", RunReference(run="digits", pick="least", metric="loss")),
    ],
)
def test_forms(text: str, wanted: object) -> None:
    assert read_reference(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        *("data:", "data:a b", "data:x@0", "data:x@latest", "data:x@-1", "data:x/y", "data:-x", "data:x@1@2"),
        *("run:", "run:/model.pt", "run:x@/a", "run:x@best/a", "run:x@best()/a", "run:x@worst(a)/a"),
        *("run:x/../y", "run:x/a//b", "run:x/./b", "run:x//", "run:x/a\nb", "run:x@best(a)b/c"),
        "run:x/" + "a" * 5000,
    ],
)
def test_what_is_no_reference_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|no part|letters"):
        read_reference(text)


@given(st.text(max_size=40))
def test_any_text_is_a_path_a_reference_or_refused(text: str) -> None:
    for start in ("", "data:", "run:", "run:x@"):
        try:
            found = read_reference(start + text)
        except ValueError:
            continue
        if isinstance(found, RunReference):
            assert ".." not in found.path.split("/") and not found.path.startswith("/")
        elif found is None:
            assert not (start + text).startswith(("data:", "run:"))
