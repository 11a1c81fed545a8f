"""Jobs as people write them, each in a process of its own: traced twice, and once not.

The two traces must be equal line by line, and what the job computed must be the same bits with and without
the tracer. The jobs are in traced_*.py, run by traced.py; importing torch takes seconds, so each run of it
does them all.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.image.determinism_settings import environment

HERE = Path(__file__).parent
ZOO = HERE.parents[1] / "jobs" / "zoo"
EVENTS = ("init", "rng", "batch", "forward", "loss", "grads", "params")

pytestmark = [pytest.mark.slow, pytest.mark.torch]


def usual(steps: int, **more: int) -> dict[str, int]:
    """One of everything a step, and the initial state."""
    return {"steps": steps, "init": 1, **dict.fromkeys(EVENTS[1:], steps), **more}


# steps, and events by kind
EXPECTED = {
    "sgd": usual(3),
    "adamw": usual(3),
    "adamw_foreach": usual(3),
    "adamw_fused": usual(3),
    "many_steps": usual(120),
    "lbfgs": usual(2, batch=8, forward=8, loss=8),  # four evaluations a step
    "two_optimizers": usual(4, forward=8),
    "two_networks_of_one_class": usual(3),
    "scaler_skips": usual(3, batch=4, forward=4, loss=4),  # one step of four is skipped
    "accumulation": usual(2, batch=6, forward=6, loss=6),
    "sparse": usual(3),
    "without_bytes_of_their_own": usual(2, batch=4),
    "groups_change": usual(4),
    "parameters_without_a_module": usual(2, rng=0, batch=0, forward=0),
    "named_parameters": usual(3),
    "own_optimizer": usual(3),
    "no_optimizer": usual(0, rng=1, batch=2, forward=2, loss=2),
    "wrapped_optimizer": usual(6, rng=2, batch=2, forward=2, loss=2),  # three steps for each of two
    "evaluation_between": usual(4, batch=8),  # the loader's, and the model's
    "resumed": usual(4, init=2),  # the new optimizer's parameters are new
    "workers_forked": usual(4, batch=8),
    "workers_spawned": usual(2, batch=4),
    "transforms_are_modules": usual(2, batch=4),
    "dictionaries": usual(2, batch=4),
    "a_child_trains": usual(4),
    "a_spawned_child_trains": usual(3),
    "a_thread_trains": usual(21),
    "threads_one_after_the_other": usual(4),
    "forward_raises": usual(5, batch=6, forward=4),  # ValueError; after KeyboardInterrupt one call is missed
    "checkpointed": usual(2, batch=1, forward=3),
    "step_in_backward": usual(4, rng=2, batch=2, forward=2, loss=2),
    "gradient_penalty": usual(2, batch=4, forward=4),
    "other_engines": usual(3, init=3, batch=7, forward=7),
    "copies_and_pickles": usual(2, init=2),
    "warnings_are_the_users": usual(5, init=2),
    "compiled_aot": usual(3),
    "compiled_inductor": usual(3),
    "compiled_everything": usual(3, rng=0, batch=0, forward=0),
}
# Ways to compile that are like others, and the scripts that tests/integration/test_zoo.py runs in containers.
LONGER = {
    "compiled_in_place": usual(4, rng=1, batch=1, forward=1),  # only before it is compiled
    "compiled_function": usual(3, rng=0, batch=0, forward=0),
    "compiled_step": usual(3, rng=0, batch=0, forward=0),
    "compiled_whole_step": usual(0, rng=0, batch=0, forward=0, loss=2),  # its steps cannot be seen
    "zoo_cnn": usual(50, batch=100),
    "zoo_transformer": usual(40, rng=41, batch=56, forward=56),
    "zoo_lstm": usual(4, batch=40, forward=40, loss=20),
    "zoo_gan": usual(120, rng=121, batch=361, forward=421, loss=180),
    "zoo_vae": usual(32, batch=64),
    "zoo_rl": usual(25, batch=334, forward=334),
}


# A base that was made from packages has no compiler; one of an OS image that was pulled has.
IN_CPP = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch.compile needs g++ on the CPU: none is here"
)


@dataclass
class Run:
    """One process that ran all jobs."""

    folder: Path
    process: subprocess.Popen[str]

    def finished(self) -> Run:
        self.out, self.err = self.process.communicate(timeout=900)
        lines = [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]
        self.jobs = {line["name"]: line for line in lines}
        return self

    def lines(self, name: str) -> list[str]:
        return trace(self.folder / "report" / f"trace-{self.jobs[name]['pid']}.jsonl")


@dataclass
class Runs:
    first: Run
    second: Run
    plain: Run


def trace(path: Path) -> list[str]:
    return path.read_text("ascii").splitlines() if path.exists() else []


def events(lines: list[str], kind: str) -> list[dict[str, Any]]:
    return [value for value in map(json.loads, lines) if value.get("e") == kind]


def names(lines: list[str], of: str) -> list[list[str]]:
    """Of each table of that class: the names."""
    tables = [value for value in map(json.loads, lines) if value.get("of") == of]
    return [[name for name, _ in table["tensors"]] for table in tables]


def launch(venv: Path, folder: Path, argv: list[str], wanted: str | None, **more: str) -> Run:
    for name in ("report", "site", "empty"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    env = {
        "PATH": f"{venv}/bin:/usr/bin:/bin",
        "HOME": str(folder),
        **environment("strict", 1, True, 7, trace=("all", 1)),
        "REPRISE_SITE": str(folder / "site"),
        "REPRISE_REPORT": str(folder / "report"),
        "REPRISE_SOURCE": str(folder / "empty"),
        "ZOO": str(ZOO),
        **more,
    }
    env.pop("REPRISE_TRACE")
    if wanted is not None:
        env["REPRISE_TRACE"] = wanted
    command = [str(venv / "bin" / "python"), *argv]
    pipe = subprocess.PIPE
    return Run(
        folder, subprocess.Popen(command, env=env, cwd=folder / "empty", stdout=pipe, stderr=pipe, text=True)
    )


@pytest.fixture(scope="module")
def runs(venv: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Runs:
    """The first alone: the others find in inductor's cache what would take each of them 15 s of CPU."""
    asked = " ".join(item.name for item in request.session.items if item.path == Path(__file__))
    argv = [str(HERE / "traced.py"), *EXPECTED, *(name for name in LONGER if name in asked)]

    def start(wanted: str | None) -> Run:
        return launch(venv, tmp_path_factory.mktemp("jobs"), argv, wanted, WITH_DYNAMO="1")

    first = start("all:1").finished()
    second, plain = start("all:1"), start(None)
    return Runs(first, second.finished(), plain.finished())


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=IN_CPP if name == "compiled_inductor" else ()) for name in EXPECTED),
        *(pytest.param(name, marks=pytest.mark.acceptance) for name in LONGER),
    ],
)
def test_traced_twice_and_not_at_all(runs: Runs, name: str) -> None:
    first, second, plain = (run.jobs[name] for run in (runs.first, runs.second, runs.plain))
    assert first["code"] == second["code"] == plain["code"] == 0, runs.first.err[-3000:]
    lines = runs.first.lines(name)
    last = json.loads(lines[-1])
    found = Counter(value["e"] for value in map(json.loads, lines) if "e" in value)
    assert last["end"] is True, last
    assert {"steps": last["steps"], **{kind: found[kind] for kind in EVENTS}} == (EXPECTED | LONGER)[name]
    assert last["events"] == sum(found.values())
    assert lines[1:] == runs.second.lines(name)[1:]  # the header has pid and time
    assert runs.plain.lines(name) == []
    if name == "compiled_everything":  # our hook breaks the graph where torch breaks it twice
        assert first["result"][-2] <= plain["result"].pop(-2)
        first["result"].pop(-2)
        second["result"].pop(-2)
    assert first["result"] == second["result"] == plain["result"]


def test_nothing_of_ours_broke(runs: Runs) -> None:
    for run in (runs.first, runs.second, runs.plain):
        assert list((run.folder / "report").glob("error-*")) == []
    assert "reprise" not in runs.first.err


def test_the_header(runs: Runs) -> None:
    header = json.loads(runs.first.lines("sgd")[0])
    assert header.pop("began") > 0
    assert header.pop("torch")[0].isdigit()
    pid = runs.first.jobs["sgd"]["pid"]
    assert header == {"trace": 1, "rank": 0, "world": 1, "pid": pid, "every": 1, "tensors": "all"}


def test_what_a_step_looks_like(runs: Runs) -> None:
    lines = runs.first.lines("sgd")
    values = [json.loads(line) for line in lines]
    order = [value.get("e", "table") for value in values[1:12]]
    first = ["table", "init", "rng", "batch", "forward", "loss", "table", "table", "grads", "params", "rng"]
    assert order == first
    tables = {value["table"]: value["tensors"] for value in values if "table" in value}
    for value in values:
        if "d" in value:
            assert len(value["d"]) == 16 * len(tables[value["t"]])
    (loss, *_) = events(lines, "loss")
    assert loss["v"][0][:2] == ["", "float32[]"]
    assert [float.fromhex(runs.first.jobs["sgd"]["result"][0])] == loss["x"]
    (batch, *_) = events(lines, "batch")
    assert (batch["n"], batch["v"][0][:2]) == ("Net", ["0", "float32[8,4]"])
    assert [name for name, what, digest in events(lines, "rng")[0]["v"]] == ["python", "numpy", "torch"]
    assert [value["s"] for value in values if value.get("e") in ("grads", "params")] == [0, 0, 1, 1, 2, 2]
    assert [
        next(row for row in tables[2] if row[0] == name) for name in ("first.weight", "norm.running_var")
    ] == [["first.weight", "float32[8,4]"], ["norm.running_var", "float32[8]"]]


@pytest.mark.parametrize(
    ("job", "of", "expected"),
    [
        ("adamw", "AdamW", ["first.weight", "first.bias", "norm.weight"]),
        ("two_optimizers", "Adam", ["Linear.weight", "Linear.bias"]),
        ("two_networks_of_one_class", "RMSprop", ["Sequential.0.weight", "Sequential.0.bias"]),
        ("parameters_without_a_module", "SGD", ["group0.param0", "group1.param0"]),
        ("named_parameters", "SGD", ["weight", "bias"]),
        ("compiled_aot", "AdamW", ["first.weight", "first.bias", "norm.weight"]),
        ("groups_change", "SGD", ["second.weight", "second.bias"]),
        ("own_optimizer", "Lion", ["first.weight", "first.bias", "norm.weight"]),
        ("sparse", "SparseAdam", ["weight"]),
    ],
)
def test_names(runs: Runs, job: str, of: str, expected: list[str]) -> None:
    assert names(runs.first.lines(job), of)[0][: len(expected)] == expected


def test_both_of_a_class_are_in_the_initial_state(runs: Runs) -> None:
    (model,) = names(runs.first.lines("two_networks_of_one_class"), "model")
    roots = ("Sequential#2", "Sequential")
    assert model == [f"{root}.0.{kind}" for root in roots for kind in ("bias", "weight")]


def test_no_gradient_is_said_to_be_none(runs: Runs) -> None:
    first = events(runs.first.lines("lbfgs"), "grads")[0]
    assert first["d"] == "-" * 32
    sparse = events(runs.first.lines("sparse"), "grads")[0]
    assert "-" not in sparse["d"]


def test_every_tensor_that_holds_something_has_a_digest(runs: Runs) -> None:
    """Else it would be called equal, whatever it holds: these differ from step to step."""
    found = [event["v"] for event in events(runs.first.lines("without_bytes_of_their_own"), "batch")]
    first, second = (rows for rows in found if len(rows) > 1)
    assert len(first) == 11
    for (name, what, digest), (_, _, later) in zip(first, second, strict=True):
        assert (digest == "-" * 16) is what.startswith("meta "), (name, what)
        assert (digest == later) is (name in ("empty", "meta")), name


def test_the_parameters_differ_from_step_to_step(runs: Runs) -> None:
    assert len({event["d"] for event in events(runs.first.lines("adamw"), "params")}) == 3


def test_forked_and_spawned_children_have_files_of_their_own(runs: Runs) -> None:
    """Two that fork in a_child_trains, one that is spawned; the workers of loaders leave none."""
    named = {line["pid"] for line in runs.first.jobs.values()}
    folder = runs.first.folder / "report"
    others = [trace(path) for path in folder.glob("trace-*.jsonl") if int(path.stem[6:]) not in named]
    assert sorted(json.loads(lines[-1])["steps"] for lines in others) == [1, 3, 3]
    for lines in others:
        assert json.loads(lines[0])["trace"] == 1
        assert len(events(lines, "init")) == 1
