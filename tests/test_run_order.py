"""Which tests share a process of pytest, and which begin first."""

from __future__ import annotations

from support.run_order import in_turn, share_of


def test_a_file_with_a_fixture_of_its_own_stays_whole_and_so_does_a_file_of_quick_tests():
    for whole in ("tests/integration/test_base.py", "tests/cli/test_verbs.py"):
        assert share_of(f"{whole}::test_a[x::y]") == whole
    single = "tests/integration/test_spine.py::test_a[x::y]"
    assert share_of(single) == single
    visits = {share_of(f"tests/integration/test_web_{name}.py::test_a") for name in ("runs", "compare")}
    assert len(visits) == 1


def test_what_takes_long_begins_first():
    tests = {
        "tests/cli/test_verbs.py::test_a": False,
        "tests/integration/test_spine.py::test_a": True,
        "tests/record/test_postgres.py::test_a": True,
        "tests/integration/test_base.py::test_b": True,
        "tests/spec/test_sizes.py::test_a": False,
        "tests/spec/test_sizes.py::test_b": False,
        "tests/integration/test_base.py::test_a": True,
        "tests/record/test_postgres.py::test_b": False,
    }
    assert in_turn(tests) == [
        "tests/integration/test_base.py::test_b",
        "tests/integration/test_base.py::test_a",
        "tests/integration/test_spine.py::test_a",
        "tests/record/test_postgres.py::test_a",
        "tests/record/test_postgres.py::test_b",
        "tests/spec/test_sizes.py::test_a",
        "tests/spec/test_sizes.py::test_b",
        "tests/cli/test_verbs.py::test_a",
    ]
