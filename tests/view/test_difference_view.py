"""How differences are printed: nothing equal is shown, nothing different looks the same."""

from __future__ import annotations

from collections.abc import Callable

from support.finished_run import make_run

from orchestrator.digest import Digest
from orchestrator.record.run_record import RunRecord
from orchestrator.spec.program import Program
from orchestrator.verdict.run_difference import difference, inputs_apart
from orchestrator.view.runs.difference_view import cell_text, difference_view


def test_only_what_differs_is_shown(
    read: Callable[..., str],
) -> None:
    a = make_run(
        packages={"numpy": "2.1", "torch": "2.13.0"}, metrics={"accuracy": 0.9812345678, "loss": float("nan")}
    )
    packages = {"numpy": "2.2", "torch": "2.13.0"}
    b = make_run(id="fedcba9876543210", metrics={"accuracy": 0.99}, packages=packages)
    out = read(difference_view(difference(a, b), everything=False).page)
    assert out.startswith(f"--- {a.id}\n+++ {b.id}\n")
    assert "\npackages\n  numpy\n  - 2.1\n" not in out  # a version that reads as a number stands in quotes
    assert "\npackages\n  numpy\n  - '2.1'\n  + '2.2'\n" in out
    assert "  accuracy   (+0.00876543)\n  - 0.9812345678\n  + 0.99\n" in out
    assert "  loss\n  - nan\n" in out
    assert "torch" not in out
    assert "equal fields are hidden" in out
    assert "  torch: 2.13.0" in read(difference_view(difference(a, b), everything=True).page)


def test_equal_runs(read: Callable[..., str]) -> None:
    found = difference(make_run(), make_run(id="fedcba9876543210"))
    assert "\nno differences\n" in read(difference_view(found, everything=False).page)


def test_a_long_section_is_shortened_unless_all_is_asked_for(
    read: Callable[..., str],
) -> None:
    found = difference(make_run(), make_run(source={f"{number:03d}.py": "cd" * 32 for number in range(100)}))
    out = read(difference_view(found, everything=False).page)
    assert "and 61 more" in out
    assert "099.py" not in out
    assert "099.py" in read(difference_view(found, everything=True).page)


def test_values_that_differ_never_look_the_same() -> None:
    numbers = ["1", 1, 1.0, True, "True", "1.0", "nan", float("nan"), 0.1 + 0.2, 0.3]
    values = [*numbers, "", " ", "None", "a", " a", "a\x1b[2J", "a\u202e"]
    assert len({cell_text(value) for value in values}) == len(values)


def test_values_are_clean() -> None:
    assert cell_text("a\x1b[2Jb\u202ec\n") == "'a\\x1b[2Jb\\u202ec\\n'"
    assert "\x1b" not in cell_text("a\x1b[2Jb")


def test_files_of_an_input_that_differs_are_named(read: Callable[..., str]) -> None:
    digests = {name: Digest.of(name.encode()) for name in ("one", "two", "file", "other")}

    def run(id_: str, data: str, file: str) -> RunRecord:
        inputs = {"set": digests[data], "file": digests[file], "same": digests["one"]}
        return make_run(id=id_ * 16, program=Program(name="x", command=("true",), inputs=inputs))

    a, b = run("a", "one", "file"), run("b", "two", "other")
    assert inputs_apart(a, b) == [digests[name] for name in ("file", "other", "one", "two")]
    folders = {
        digests["one"]: {"p/a": "1" * 64, "b": "2" * 64, "gone": "c3" * 32},
        digests["two"]: {"p/a": "4" * 64, "b": "2" * 64, "new": "5" * 64},
    }
    found = difference(a, b, folders).section("inputs")
    assert [(entry.name, entry.a, entry.b) for entry in found.differing] == [
        ("file", digests["file"], digests["other"]),
        ("set", digests["one"], digests["two"]),
        ("set/gone", "c3" * 32, None),
        ("set/new", None, "5" * 64),
        ("set/p/a", "1" * 64, "4" * 64),
    ]
    assert [entry.name for entry in found.equal] == ["same"]
    assert "  set/gone\n  - c3" in read(difference_view(difference(a, b, folders), everything=False).page)
