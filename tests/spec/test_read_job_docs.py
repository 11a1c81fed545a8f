"""docs/job-spec.md names every key, and its examples and messages are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.spec.jobfile import job_spec
from orchestrator.spec.jobfile.problems import SpecError
from orchestrator.spec.jobfile.read_job import read_spec
from orchestrator.spec.jobfile.short_forms import _ENV_OURS, _ENV_REASONS

PAGE = (Path(__file__).resolve().parents[2] / "docs/job-spec.md").read_text()
MODELS = [
    job_spec.JobSpec,
    job_spec.Determinism,
    job_spec.Resources,
    job_spec.Tolerances,
    job_spec.Tolerance,
    job_spec.Trace,
]
ROWS = {row[0]: row for row in re.findall(r"^\| `(\w+)` \| (.*)$", PAGE, re.MULTILINE)}


@pytest.mark.parametrize("part", MODELS, ids=lambda part: part.__name__)
def test_every_key_has_a_row(part: type[job_spec.Value]) -> None:
    assert part.model_fields.keys() - {"volatile", "volatile_metrics"} <= ROWS.keys()  # said of each one


def test_the_keys_of_sources_and_inputs_are_named() -> None:
    for key in ("path", "git", "commit", "sha256", "glob", "volatile"):
        assert re.search(rf"[{{`]{key}[:`]|[ ]{key}:", PAGE), key


@pytest.mark.parametrize("key", ["seed", "threads", "every", "processes", "gpus"])
def test_numbers_that_are_defaults_are_those_of_the_model(key: str) -> None:
    field = next(part.model_fields[key] for part in MODELS if key in part.model_fields)
    assert f"`{field.default}`" in ROWS[key][1]


def test_refused_variables_are_named() -> None:
    for name in (*_ENV_REASONS, *_ENV_OURS):
        assert f"`{name}`" in PAGE


def test_the_first_example_reads(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    assert read_spec(tmp_path).name == "digits"


@pytest.mark.parametrize("number", [1, 3])
def test_the_other_examples_read(tmp_path: Path, number: int) -> None:
    example = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[number]
    command = "" if "command:" in example else "command: 'true'\n"
    (tmp_path / "job.yaml").write_text(f"name: x\n{command}{example}")
    assert read_spec(tmp_path).name == "x"


def test_the_messages_shown_are_the_real_ones(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("name: x\nsead: 1\ncommand: python {lr}\nparams: {a: [1]}\n")
    with pytest.raises(SpecError) as caught:
        read_spec(path)
    assert caught.value.message.replace(f"{tmp_path}/", "") in PAGE
