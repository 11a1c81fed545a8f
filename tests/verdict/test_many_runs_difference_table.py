"""Many runs in one table of what differs."""

from __future__ import annotations

from support.records import digest_of, kept, run_record

from orchestrator.verdict.many_runs_difference import difference_table
from orchestrator.verdict.run_difference import difference


def runs():
    made = []
    for number in range(7):
        made.append(
            run_record(
                id=f"{number:016x}",
                params={"lr": 0.1 * number, "same": 1},
                metrics={"loss": float("nan"), "acc": float(number // 4)},
                packages={"torch": "2.12" if number < 3 else "2.13", "six": "1"},
                outputs=(kept("m.pt", f"{number}"), kept("c.txt", "x")),
            )
        )
    return made


def test_only_fields_that_differ_stand_in_the_table():
    table = difference_table(iter(runs()))
    assert list(table.fields)[:2] == ["params.lr", "metrics.acc"], (
        "what people change and look at comes first"
    )
    assert table.fields["metrics.acc"] == (0.0,) * 4 + (1.0,) * 3
    assert table.fields["packages.torch"][2:4] == ("2.12", "2.13")
    assert table.fields["outputs.m.pt"][0] == digest_of("0")
    assert not {"params.same", "metrics.loss", "packages.six", "outputs.c.txt"} & table.fields.keys()
    assert len(table.runs) == 7 and table.equal > 10


def test_of_two_runs_it_has_what_diff_has():
    a, b = runs()[2:4]
    told = difference(a, b)
    names = {f"{section.name}.{entry.name}" for section in told.sections for entry in section.differing}
    assert set(difference_table([a, b]).fields) == names


def test_a_field_that_a_run_lacks_is_a_difference():
    table = difference_table(
        [run_record(params={"a": 1}), run_record(params={}), run_record(params={"a": True})]
    )
    assert table.fields["params.a"] == (1, None, True)
