"""The label of a program: frozen as it was released, and what a field that comes later does to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from orchestrator.digest import Digest
from orchestrator.spec import program as room
from orchestrator.spec.jobfile.job_spec import Determinism, Level, Trace, TracedTensors
from orchestrator.spec.program import FORMAT_1, LATER, Program
from orchestrator.value import Value

FULL = Program(
    name="digits",
    command=("python", "train.py", "--lr", "0.001"),
    params={"lr": 1e-3, "big": 1e22, "n": 3, "on": True, "what": "\u00e9"},
    env={"ALPHA": "2"},
    seed=7,
    inputs={"data": Digest.of(b"data")},
    outputs=("*.pt", "logs/**"),
    metrics="out/metrics.json",
    determinism=Determinism(level=Level.WARN, threads=2, trace=Trace(every=5, tensors=TracedTensors.PARAMS)),
    gpus=1,
)
# Released. Whoever must change one of these two texts changes the digest of every image.
FULL_LABEL = (
    '{"command":["python","train.py","--lr","0.001"],"determinism":{"level":"warn","portable_cpu":true,'
    '"threads":2,"trace":{"every":5,"tensors":"params"}},"env":{"ALPHA":"2"},"format":1,"gpus":1,'
    '"inputs":{"data":"sha256:3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"},'
    '"metrics":"out/metrics.json","name":"digits","outputs":["*.pt","logs/**"],'
    '"params":{"big":1e+22,"lr":0.001,"n":3,"on":true,"what":"\u00e9"},"seed":7}'
)
PLAIN_LABEL = (
    '{"command":["true"],"determinism":{"level":"strict","portable_cpu":true,"threads":1,'
    '"trace":{"every":1,"tensors":"all"}},"env":{},"format":1,"gpus":0,"inputs":{},"metrics":null,'
    '"name":"x","outputs":["**"],"params":{},"seed":0}'
)


def fields(model: type[BaseModel], before: str = "") -> dict[str, Any]:
    """Dotted name -> default, as JSON has it, of every field, those of nested values in place of them."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= fields(inner, f"{before}{name}.")
        else:
            default = field.get_default(call_default_factory=True)
            found[f"{before}{name}"] = list(default) if isinstance(default, tuple) else default
    return found


def test_format_1_is_frozen() -> None:
    assert Program(name="x", command=("true",)).to_label() == PLAIN_LABEL
    assert FULL.to_label() == FULL_LABEL
    for label in (PLAIN_LABEL, FULL_LABEL):
        assert Program.from_label(label).to_label() == label


def test_every_field_is_of_format_1_or_came_later_with_the_default_that_it_has() -> None:
    """A new field of Program or Determinism: add it to LATER, with its default. See docs/identity.md."""
    there = fields(Program)
    assert set(there) == {*FORMAT_1, *LATER}
    assert not set(FORMAT_1) & set(LATER)
    assert {name: there[name] for name in LATER} == LATER


class Padding(Value):
    size: int = 0
    kind: str = "zeros"


class NextDeterminism(Determinism):
    fill: bool = False


class NextProgram(Program):
    """As the next release might have it."""

    shards: int = 1
    padding: Padding = Padding()
    determinism: NextDeterminism = NextDeterminism()


COMES = {"shards": 1, "padding.size": 0, "padding.kind": "zeros", "determinism.fill": False}


@pytest.fixture
def next_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LATER", room.LATER | COMES)


@pytest.mark.usefixtures("next_release")
@pytest.mark.parametrize(
    ("changes", "added"),
    [
        ({}, {}),
        ({"shards": 2}, {"shards": 2}),
        ({"padding": Padding(size=3)}, {"padding": {"size": 3}}),
        ({"padding": Padding(kind="ones")}, {"padding": {"kind": "ones"}}),
        ({"determinism": NextDeterminism(fill=True)}, {"determinism": {"fill": True}}),
    ],
)
def test_a_later_field_moves_the_labels_that_use_it_and_no_other(
    changes: dict[str, Any], added: dict[str, Any]
) -> None:
    program = NextProgram(name="x", command=("true",), **changes)
    expected = json.loads(PLAIN_LABEL)
    for name, value in added.items():
        expected[name] = {**expected[name], **value} if name in expected else value
    assert json.loads(program.to_label()) == expected
    assert NextProgram.from_label(program.to_label()) == program
    assert (program.to_label() == PLAIN_LABEL) == (not added)
    if added:
        with pytest.raises(ValidationError):
            Program.from_label(program.to_label())  # by this release, which would run something else
