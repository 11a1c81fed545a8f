"""Whatever stands in a job file: it reads, or it is a UsageError. And what reads fits the schema."""

from __future__ import annotations

import functools
import json
import random
import string
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.examples import tries

from orchestrator.errors import UsageError
from orchestrator.spec.jobfile.job_spec import JobSpec
from orchestrator.spec.jobfile.json_schema import json_schema
from orchestrator.spec.jobfile.read_job import read_spec

FULL = """
name: digits
description: "all keys" # a comment
base: cpu
source: {path: .}
command: [python, train.py, '{lr}', --seed, '{seed}']
params: {lr: 1e-3, epochs: 5, fast: true, kind: cnn}
env: {MODE: quick}
seed: 7
inputs:
  here: .
  there: {path: ., sha256: sha256:0000000000000000000000000000000000000000000000000000000000000000}
outputs: ['**/*.pt', metrics.json, {glob: 'logs/**', volatile: true}]
metrics: metrics.json
tolerance:
  metrics: {accuracy: 0.01, loss: {abs: 1e-6, rel: 0.1}}
  outputs: {'*.npy': {rel: 1e-5}}
determinism: {level: warn, threads: 2, portable_cpu: false, trace: {every: 10, tensors: params}}
resources: {gpus: 1, gpu: H100, cpus: 2.5, memory: 8GiB, shm: 1g, timeout: 1h30m, processes: 99,
  network: none}
"""
ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def validator() -> Any:
    """Imported when it is used: jsonschema takes seconds, and every process of pytest reads every file."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json_schema())


INNER = ["path", "git", "commit", "sha256", "abs", "every", "level", "memory"]
ELSEWHERE = {"volatile", "volatile_metrics"}  # said of an output, or of a metric
INNER += ["trace", "tensors", "glob", "volatile"]
KEYS = st.sampled_from([*JobSpec.model_fields, *INNER])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([".", "**"])
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner),
    max_leaves=12,
)


def attempt(data: bytes, params: dict[str, str] | None = None) -> JobSpec | None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "job.yaml").write_bytes(data)
        try:
            return read_spec(Path(folder), params)
        except UsageError as error:
            assert error.message
            return None


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
@example(b'a: "\\UFFFFFFFF"')
@example(b"%YAML 99999999999999999999.1\n---\na")
@example(b"? ? ? ?")
def test_random_bytes(data: bytes) -> None:
    attempt(data)


@given(st.text(alphabet="ab1:-?[]{}#&*!|>'\"%@`,\\\n\t .~<", max_size=40))
@settings(max_examples=tries(400))
def test_random_punctuation(text: str) -> None:
    attempt(text.encode())


@given(st.dictionaries(KEYS, TREES))
@settings(max_examples=tries(300))
def test_random_trees(tree: dict[str, Any]) -> None:
    attempt(json.dumps({"name": "x", "command": "true", **tree}).encode())


@pytest.mark.parametrize("start", range(4))
def test_mutations_of_a_full_file(start: int) -> None:
    assert attempt(FULL.encode()) is not None
    letters = string.ascii_letters + string.digits + string.punctuation + " \n\t\0é"
    for number in range(60):
        dice = random.Random(start * 1000 + number)
        text = list(FULL)
        for _ in range(dice.randint(1, 4)):
            place = dice.randrange(len(text))
            text[place : place + dice.randint(0, 3)] = dice.choice(letters)
        attempt("".join(text).encode())


@given(st.dictionaries(st.sampled_from(["lr", "epochs", "fast", "kind", "no"]), st.text(max_size=12)))
def test_random_overrides(params: dict[str, str]) -> None:
    attempt(FULL.encode(), params)


def test_the_schema_is_one_and_knows_every_example() -> None:
    from ruamel.yaml import YAML

    validator().check_schema(json_schema())
    for path in [*(ROOT / "jobs").rglob("job.yaml")]:
        validator().validate(YAML(typ="safe", pure=True).load(path))
    validator().validate(YAML(typ="safe", pure=True).load(FULL))


@given(st.dictionaries(KEYS, TREES))
@settings(max_examples=tries(300))
@example({"name": float("inf"), "description": float("nan")})
def test_what_reads_fits_the_schema(tree: dict[str, Any]) -> None:
    text = json.dumps({"name": "x", "command": "true", **tree})
    if attempt(text.encode()) is not None:
        # Python writes Infinity and NaN, which are no JSON, and text in YAML.
        validator().validate(json.loads(text, parse_constant=str))


@pytest.mark.parametrize(
    "change",
    [
        {"sead": 1},
        {"seed": "1"},
        {"params": {"a": [1]}},
        {"command": []},
        {"source": {"git": "."}},
        {"determinism": {"level": "hard"}},
        {"tolerance": {"metrics": {"a": {}}}},
        {"resources": {"network": "host"}},
        {"inputs": {"a": {"path": ".", "sha256": "abc"}}},
    ],
    ids=str,
)
def test_what_the_schema_refuses_does_not_read(change: dict[str, Any]) -> None:
    document = {"name": "x", "command": "true", **change}
    assert not validator().is_valid(document)
    assert attempt(json.dumps(document).encode()) is None


def test_every_key_is_described_and_is_the_models() -> None:
    schema = json_schema()
    assert schema["properties"].keys() == JobSpec.model_fields.keys()
    for part in ("determinism", "resources", "tolerance"):
        annotation = JobSpec.model_fields[part].annotation
        keys = annotation.model_fields.keys() - ELSEWHERE  # type: ignore[union-attr]
        assert schema["properties"][part]["properties"].keys() == keys
    todo = [schema]
    while todo:
        for inner in todo.pop().get("properties", {}).values():
            assert inner["description"].endswith(".")
            todo.append(inner)
    assert schema["properties"]["resources"]["properties"]["network"]["default"] == "none"
