from __future__ import annotations

from orchestrator.message_wording import count, did_you_mean, listed, shortened


def test_what_is_cut_is_said() -> None:
    assert [count(number, "entry", "entries") for number in (0, 1, 1204)] == [
        "0 entries",
        "1 entry",
        "1,204 entries",
    ]
    assert listed(["a", "b", "c"], 3) == "a, b, c"
    assert listed(["a", "b", "c", "d"], 3, "; ") == "a; b; c and 1 more"
    assert (shortened("12345", 5), shortened("123456", 5)) == ("12345", "1234…")


def test_a_name_that_is_spelt_like_it_is_suggested() -> None:
    assert did_you_mean("los", ["accuracy", "loss"], "it has none") == "did you mean loss?"
    assert did_you_mean("x" * 1_000_000, ["accuracy", "loss"], "it has none") == "it has none"
    assert did_you_mean("los", ["loss" * 100_000] * 100_000, "it has none") == "it has none"
