"""What differs between many runs, field by field."""

from __future__ import annotations

from support.records import kept, run_record

from orchestrator.verdict.many_runs_difference import many_differences
from orchestrator.verdict.run_difference import difference


def test_fields_that_some_run_has_otherwise_are_listed_for_all() -> None:
    runs = [
        run_record(params={"lr": rate, "layers": 3}, metrics={"loss": rate}, outputs=(kept("a", text),))
        for rate, text in ((0.1, "x"), (0.1, "x"), (0.2, "y"))
    ]
    found = many_differences([*runs, run_record(params={"layers": 3}, id="f" * 16)])
    rows = found.section("params").differing
    assert [(row.name, row.cells) for row in rows] == [("lr", (0.1, 0.1, 0.2, None))]
    assert found.section("params").equal == 1
    assert [row.cells for row in found.section("metrics").differing] == [(0.1, 0.1, 0.2, None)]
    assert [row.name for row in found.section("outputs").differing] == ["a"]
    assert found.section("packages").differing == ()


def test_two_runs_have_the_sections_of_a_difference() -> None:
    a, b = run_record(params={"lr": 1}, packages={"torch": "2"}), run_record(params={"lr": 2})
    pair, many = difference(a, b), many_differences([a, b])
    assert [section.name for section in many.sections] == [section.name for section in pair.sections]
    for name in ("job", "params", "packages", "result"):
        assert [row.name for row in many.section(name).differing] == [
            entry.name for entry in pair.section(name).differing
        ]
