from __future__ import annotations

import math

import pytest

from orchestrator.digest import Digest
from orchestrator.run.attempt_model import Failure, Fingerprint, LoggedParam, Readback, State
from orchestrator.spec.jobfile.job_spec import Determinism, Resources
from orchestrator.spec.source.source_tree import GitState
from orchestrator.verdict.run_difference import Difference, difference

SECTIONS = (
    "job",
    "params",
    "logged",
    "env",
    "inputs",
    "code",
    "git",
    "packages",
    "determinism",
    "flags",
    "hardware",
    "resources",
    "metrics",
    "outputs",
    "result",
)


def found(section) -> dict[str, tuple[object, object]]:
    return {entry.name: (entry.a, entry.b) for entry in section.differing}


def test_a_run_differs_from_itself_in_nothing(original):
    result = difference(original, original)
    assert tuple(section.name for section in result.sections) == SECTIONS
    assert result.differing == 0
    assert [section.name for section in result.sections if not section.equal] == ["logged"]


def _program(run, **changes):
    return {"program": run.program.model_copy(update=changes)}


ANOTHER = Digest.of(b"another")
GIT = GitState(commit="d" * 40, branch="try", dirty=True, patch_digest=ANOTHER)
CASES = {
    "image": (lambda run: {"image": ANOTHER}, "job", {"image": (str(Digest.of(b"image")), str(ANOTHER))}),
    "command": (
        lambda run: _program(run, command=("python", "other.py")),
        "job",
        {"command": ("python train.py", "python other.py")},
    ),
    "seed": (lambda run: _program(run, seed=8), "job", {"seed": (7, 8)}),
    "gpus": (lambda run: _program(run, gpus=2), "job", {"gpus": (0, 2)}),
    "params": (
        lambda run: _program(run, params={"lr": 0.2, "epochs": 3.0, "augment": 0, "new": "x"}),
        "params",
        {"lr": (0.1, 0.2), "epochs": (3, 3.0), "augment": (False, 0), "new": (None, "x")},
    ),
    "logged": (
        lambda run: {"logged": {"lr": LoggedParam(value=0.3, source="hparams.yaml")}},
        "logged",
        {"lr": (None, 0.3)},
    ),
    "env": (lambda run: _program(run, env={}), "env", {"MODE": ("fast", None)}),
    "inputs": (
        lambda run: _program(run, inputs={"data": ANOTHER}),
        "inputs",
        {"data": (str(Digest.of(b"data")), str(ANOTHER))},
    ),
    "code": (
        lambda run: {"source": {"train.py": "0" * 64, "net.py": "2" * 64, "new.py": "3" * 64}},
        "code",
        {"net.py": ("1" * 64, "2" * 64), "new.py": (None, "3" * 64)},
    ),
    "git": (
        lambda run: {"git": GIT},
        "git",
        {
            "commit": ("c" * 40, "d" * 40),
            "branch": ("main", "try"),
            "dirty": (False, True),
            "patch": (None, str(ANOTHER)),
        },
    ),
    "packages": (
        lambda run: {"packages": {"torch": "2.12.0", "scipy": "1.17"}},
        "packages",
        {"torch": ("2.13.0", "2.12.0"), "numpy": ("2.4.6", None), "scipy": (None, "1.17")},
    ),
    "determinism": (
        lambda run: _program(run, determinism=Determinism(threads=2)),
        "determinism",
        {"threads": (1, 2)},
    ),
    "resources": (
        lambda run: {"resources": Resources(memory=1 << 31)},
        "resources",
        {"memory": (1 << 30, 1 << 31)},
    ),
    "result": (
        lambda run: {"state": State.FAILED, "failure": Failure.TIMEOUT, "message": "late", "exit_code": None},
        "result",
        {
            "state": ("succeeded", "failed"),
            "failure": (None, "timeout"),
            "message": (None, "late"),
            "exit code": (0, None),
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_thing_that_differs_is_in_its_section_and_in_no_other(record, original, name):
    changes, where, expected = CASES[name]
    result = difference(original, record(**changes(original)))
    assert {section.name: found(section) for section in result.sections if section.differing} == {
        where: expected
    }
    assert result.differing == len(expected)


def test_metrics_have_a_delta(record, original):
    changed = record(metrics={"accuracy": 0.5, "f1": 1.0})
    entries = {entry.name: entry for entry in difference(original, changed).section("metrics").differing}
    assert (entries["accuracy"].a, entries["accuracy"].b) == (0.9861, 0.5)
    assert entries["accuracy"].delta == pytest.approx(-0.4861)
    assert (entries["f1"].a, entries["f1"].delta) == (None, None)
    assert (entries["loss"].b, entries["loss"].delta) == (None, None)
    nan = record(metrics={"accuracy": math.nan, "loss": 0.25})
    assert difference(nan, nan).section("metrics").differing == ()


def test_outputs_differ_are_rejected_or_missing(blobs, record, original):
    changed = record(
        outputs=(blobs.rejected("metrics.json", "fifo"), original.outputs[1], blobs.kept("new", b"new"))
    )
    section = difference(original, changed).section("outputs")
    assert found(section) == {
        "metrics.json": (str(original.outputs[0].digest), "rejected: fifo"),
        "new": (None, str(Digest.of(b"new"))),
        "plots/curve.png": (str(original.outputs[2].digest), None),
    }
    assert [entry.name for entry in section.equal] == ["model.pt"]


def test_hardware_is_flattened_in_two_groups(record, original):
    box = Fingerprint(
        bit_class={
            "cpu_vendor": "AuthenticAMD",
            "cpu_isa": ["avx", "avx2", "fma"],
            "machine": "x86_64",
            "gpus": [{"name": "A100"}],
        },
        perf_class={"cpu_model": "EPYC", "cores": 2, "disks": []},
        identity={"host": "secret"},
        bit_digest=ANOTHER,
    )
    section = difference(original, record(fingerprint=box)).section("hardware")
    assert found(section) == {
        "bit_class.cpu_vendor": ("GenuineIntel", "AuthenticAMD"),
        "bit_class.gpus.0.name": (None, "A100"),
        "perf_class.cpu_model": ("Xeon", "EPYC"),
        "perf_class.disks": (None, "none"),
    }
    assert {entry.name for entry in section.equal} == {
        "bit_class.cpu_isa.0",
        "bit_class.cpu_isa.1",
        "bit_class.cpu_isa.2",
        "bit_class.machine",
        "perf_class.cores",
    }
    assert difference(original, record(fingerprint=None)).section("hardware").equal == ()


def test_flags_are_those_of_the_process_that_trains_at_its_end(record):
    shell = Readback(pid=3, argv=("python", "launch.py"), start={"env.X": "1"}, end={"env.X": "1"})
    trains = Readback(
        pid=9,
        argv=("python", "train.py"),
        start={"torch.version": "2", "f": True},
        end={"torch.version": "2", "f": False},
    )
    worker = Readback(pid=11, argv=("python",), start={"torch.version": "2", "f": True}, end=None)
    a, b = record(readbacks=(worker, trains, shell)), record(readbacks=(worker,))
    assert found(difference(a, b).section("flags")) == {"f": (False, True)}
    assert found(difference(record(readbacks=(shell,)), record(readbacks=())).section("flags")) == {
        "env.X": ("1", None)
    }


def test_runs_with_nothing_in_common_can_be_compared(record):
    empty = record(
        state=State.QUEUED,
        fingerprint=None,
        git=None,
        readbacks=(),
        source={},
        packages={},
        outputs=(),
        metrics={},
        series=(),
        exit_code=None,
    )
    result = difference(record(), empty)
    assert len(result.section("code").differing) == 2
    assert difference(empty, record()).differing == result.differing


def test_it_has_a_json_form(record, original):
    result = difference(original, record(metrics={"accuracy": 0.5}))
    assert Difference.model_validate_json(result.model_dump_json()) == result
