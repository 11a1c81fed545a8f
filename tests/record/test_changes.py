from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.query_plans import statements_of
from support.records import ONE, finish_run, new_run

from orchestrator.digest import Digest
from orchestrator.record.history import changes
from orchestrator.record.history.changes import ASPECTS
from orchestrator.record.record import Record
from orchestrator.run.attempt_model import Fingerprint, State
from orchestrator.spec.inputs import read_input
from orchestrator.spec.program import Program

Finished = Callable[..., str]


def bits(**facts: object) -> Fingerprint:
    return Fingerprint(
        bit_class=dict(facts),
        perf_class={"cores": 2},
        identity={},
        bit_digest=Digest.of(repr(facts).encode()),
    )


def deltas(record: Record, runs: list[str], aspect: str) -> dict[str, list[tuple[object, ...]]]:
    found = record.history.changes(runs, aspect)
    return {
        run: [(delta.name, delta.before, delta.after) for delta in item.deltas] for run, item in found.items()
    }


def test_each_run_is_compared_with_the_one_before_it_of_its_job(record: Record, finished: Finished) -> None:
    first = finished(image="a", result={"packages": {"torch": "2.12", "six": "1"}})
    finished(job="other", image="o", result={"packages": {"torch": "9"}})
    second = finished(image="b", result={"packages": {"torch": "2.13", "numpy": "2"}})
    third = finished(image="c", result={"packages": {"torch": "2.13", "numpy": "2"}})
    found = record.history.changes([third, second, first], "packages")
    assert list(found) == [second] and found[second].before == first
    assert deltas(record, [second], "packages")[second] == [
        ("numpy", None, "2"),
        ("six", "1", None),
        ("torch", "2.12", "2.13"),
    ]


def test_a_run_that_never_executed_hides_no_change(record: Record, finished: Finished) -> None:
    finished(image="a", result={"packages": {"torch": "2.12"}, "source": {"t.py": "1" * 64}})
    lost = finished(image="b", result={"state": State.LOST, "exit_code": None})
    last = finished(image="c", result={"packages": {"torch": "2.13"}, "source": {"t.py": "2" * 64}})
    assert set(deltas(record, [last, lost], "packages")) == {last}
    assert deltas(record, [last, lost], "code") == {last: [("t.py", "1" * 64, "2" * 64)]}


def test_params_seed_base_and_hardware(record: Record, finished: Finished) -> None:
    first = finished(image="a", params={"lr": 0.1, "x": 1}, seed=1, result={"fingerprint": bits(cpu="amd")})
    second = finished(image="b", params={"lr": 0.2, "x": 1}, seed=2, result={"fingerprint": bits(cpu="amd")})
    third = finished(image="b", params={"lr": 0.2, "x": 1}, seed=2, result={"fingerprint": bits(cpu="arm")})
    runs = [first, second, third]
    assert deltas(record, runs, "params") == {second: [("lr", "0.1", "0.2")]}
    assert deltas(record, runs, "seed") == {second: [("seed", 1, 2)]}
    assert deltas(record, runs, "hardware") == {third: [("cpu", "amd", "arm")]}
    assert deltas(record, runs, "base") == {}


def test_files_of_an_input_that_changed_are_named(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_AT_ONCE", 1)
    runs = []
    for number, files in enumerate(({"a": "1", "b/c": "2"}, {"a": "1", "b/c": "3", "d": "4"}, {"a": "1"})):
        for path, text in files.items():
            (tmp_path / str(number) / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / str(number) / path).write_text(text)
        data = read_input(tmp_path / str(number))
        program = Program(name="x", command=("true",), inputs={"set": data.digest, "same": ONE})
        runs.append(finish_run(record, new_run(program=program, image=str(number), inputs=(data,))))
    found = record.history.changes(runs, "inputs")
    first, second, third = (record.run(run).program.inputs["set"] for run in runs)
    hashes = {text: Digest.of(text.encode()).hex for text in "1234"}

    def deltas_of(run: str) -> list[tuple[object, ...]]:
        return [(delta.name, delta.before, delta.after) for delta in found[run].deltas]

    assert set(found) == {runs[1], runs[2]}
    assert deltas_of(runs[1]) == [
        ("set", first, second),
        ("set/b/c", hashes["2"], hashes["3"]),
        ("set/d", None, hashes["4"]),
    ]
    assert deltas_of(runs[2]) == [
        ("set", second, third),
        ("set/b/c", hashes["3"], None),
        ("set/d", hashes["4"], None),
    ]


@pytest.mark.parametrize("aspect", ASPECTS)
def test_queries_do_not_grow_with_the_runs(record: Record, finished: Finished, aspect: str) -> None:
    runs = [finished(image=str(number)) for number in range(8)]
    statements = statements_of(record)
    record.history.changes(runs, aspect)
    assert len(statements) <= 4
