"""How differences are printed: nothing equal is shown, nothing different looks the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.cli.commands.diff import cell_text, print_difference
from orchestrator.record.run_record import RunRecord
from orchestrator.verdict.run_difference import difference


def test_only_what_differs_is_shown(
    make_run: Callable[..., RunRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    a = make_run()
    packages = {"numpy": "2.2", "torch": "2.13.0"}
    b = make_run(id="fedcba9876543210", metrics={"accuracy": 0.99}, packages=packages)
    print_difference(difference(a, b), everything=False)
    out = capsys.readouterr().out
    assert out.startswith(f"--- {a.id}\n+++ {b.id}\n")
    assert "\npackages\n  numpy\n  - 2.1\n" not in out  # a version that reads as a number stands in quotes
    assert "\npackages\n  numpy\n  - '2.1'\n  + '2.2'\n" in out
    assert "  accuracy   (+0.00876543)\n  - 0.9812345678\n  + 0.99\n" in out
    assert "  loss\n  - nan\n" in out
    assert "torch" not in out
    assert "equal fields are hidden" in out
    print_difference(difference(a, b), everything=True)
    assert "  torch: 2.13.0" in capsys.readouterr().out


def test_equal_runs(make_run: Callable[..., RunRecord], capsys: pytest.CaptureFixture[str]) -> None:
    print_difference(difference(make_run(), make_run(id="fedcba9876543210")), everything=False)
    assert "\nno differences\n" in capsys.readouterr().out


def test_a_long_section_is_shortened_unless_all_is_asked_for(
    make_run: Callable[..., RunRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    found = difference(make_run(), make_run(source={f"{number:03d}.py": "cd" * 32 for number in range(100)}))
    print_difference(found, everything=False)
    out = capsys.readouterr().out
    assert "and 61 more" in out
    assert "099.py" not in out
    print_difference(found, everything=True)
    assert "099.py" in capsys.readouterr().out


def test_values_that_differ_never_look_the_same() -> None:
    numbers = ["1", 1, 1.0, True, "True", "1.0", "nan", float("nan"), 0.1 + 0.2, 0.3]
    values = [*numbers, "", " ", "None", "a", " a", "a\x1b[2J", "a\u202e"]
    assert len({cell_text(value) for value in values}) == len(values)


def test_values_are_clean() -> None:
    assert cell_text("a\x1b[2Jb\u202ec\n") == "'a\\x1b[2Jb\\u202ec\\n'"
    assert "\x1b" not in cell_text("a\x1b[2Jb")
