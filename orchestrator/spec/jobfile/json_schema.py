"""The JSON Schema of job files, for editors: every key, short forms included.

It is looser than `read_job.py` where JSON Schema cannot say a rule (paths that exist, placeholders), and
never stricter: what reads without a problem also fits the schema.
"""

from __future__ import annotations

from typing import Any

from orchestrator.spec.jobfile.job_spec import (
    Determinism,
    InputSpec,
    JobSpec,
    Resources,
    Tolerance,
    Tolerances,
    Trace,
)

_Schema = dict[str, Any]

_SIZE: _Schema = {"type": ["integer", "string", "null"], "minimum": 0}
_TIME: _Schema = {"type": ["number", "string", "null"], "exclusiveMinimum": 0}
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"

_SAID = {
    "name": "The job's name: letters, digits, dot, dash and underscore. Identity.",
    "description": "What it is, for people.",
    "base": (
        "A base's name (cpu, cuda) or REPOSITORY@sha256:...; default: cpu, and cuda for a job with "
        "gpus. Identity."
    ),
    "source": (
        "The code: a folder, {path, commit}, or {git, commit}; default: the job file's folder. Identity."
    ),
    "requirements": (
        "What the base does not bring: a requirements file with hashes, or a pylock.toml. Identity."
    ),
    "command": (
        "What runs: text for bash -euo pipefail, or a list of words. {name}: a parameter, {seed}: the seed. "
        "Identity."
    ),
    "params": "Parameters: text, numbers, true or false; changed by -p name=value. Identity.",
    "env": "Environment variables, all of them text. Identity.",
    "seed": "Seeds Python, NumPy and PyTorch, and fills {seed}. Identity.",
    "inputs": (
        "Data, read-only at /inputs/NAME: a path, or {path, sha256}. Its digest is identity, its "
        "place is not."
    ),
    "outputs": "Globs under the working directory; default: all that the job writes. Identity.",
    "metrics": (
        "A file of metrics under the working directory; default: metrics.json and metrics.jsonl. Identity."
    ),
    "tolerance": "How far a rerun's metrics and outputs may differ: |a - b| <= abs + rel * |a|.",
    "determinism": "How hard the same bits are asked for. Identity.",
    "resources": "What a run may use. Of these, only gpus is identity.",
    "level": (
        "strict: an operation without a deterministic form fails the job; warn: it warns; off: seeds only."
    ),
    "threads": "CPU threads of OpenMP, MKL, OpenBLAS and PyTorch.",
    "portable_cpu": "The same CPU instructions on every x86-64 machine.",
    "trace": "Digests while the job trains: all, params, off, or {every, tensors}.",
    "every": "Every how many optimizer steps.",
    "tensors": "Which tensors are digested.",
    "gpus": "How many GPUs. Identity.",
    "gpu": "Part of the GPU's model name, such as H100.",
    "cpus": "How many CPUs; default: all.",
    "memory": "A size such as 8GiB, or bytes; default: nine tenths of the machine's.",
    "shm": "The size of /dev/shm.",
    "timeout": "Seconds, or a time such as 30m or 1h30m; default: none.",
    "processes": "How many processes and threads at once.",
    "output_size": "How much the job may write.",
    "network": "none, or bridge: the network of the machine.",
    "path": "A folder or file, as seen from the job file's folder.",
    "git": "A git repository on this machine, wherever it lies.",
    "commit": "A commit id, short or full, or a ref.",
    "sha256": "The digest that the input must have, 64 hex digits, sha256: before it or not.",
    "metrics of tolerance": "Metric name to tolerance.",
    "outputs of tolerance": "Glob to tolerance, for files of tensors.",
    "glob": "What to keep.",
    "volatile": "True for what differs by nature, such as a log with times, or a time: kept, never compared.",
    "abs": "Absolute part.",
    "rel": "Relative part.",
}


def json_schema() -> _Schema:
    """The schema, draft 2020-12. A fresh dict for each call."""
    top: dict[str, _Schema] = {
        "name": {"type": "string", "pattern": _NAME},
        "description": {"type": "string"},
        "base": {"type": ["string", "null"]},
        "source": _source(),
        "requirements": {"type": ["string", "null"]},
        "command": {"oneOf": [{"type": "string", "minLength": 1}, _list(minItems=1)]},
        "params": _table({"type": ["string", "number", "boolean"]}, _NAME),
        "env": _table({"type": "string"}, r"^[A-Za-z_][A-Za-z0-9_]*$"),
        "seed": {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1},
        "inputs": _table(_input(), _NAME),
        "outputs": {"type": "array", "items": {"oneOf": [{"type": "string"}, _output()]}},
        "metrics": {"type": ["string", "null"]},
        "tolerance": _tolerance(),
        "determinism": _determinism(),
        "resources": _resources(),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Reprise job",
        "required": ["name", "command"],
        **_object(top, JobSpec),
        "type": "object",
    }


def _object(keys: dict[str, _Schema], model: type[Any] | None = None, prefix: str = "") -> _Schema:
    """A closed mapping, each key described; descriptions and defaults come from one place each."""
    described = {}
    for key, value in keys.items():
        described[key] = {"description": _SAID.get(f"{key}{prefix}", _SAID[key]), **value}
        default = model.model_fields[key].default if model and key in model.model_fields else None
        if isinstance(default, str | int | float):
            described[key]["default"] = default if isinstance(default, bool) else _plain(default)
    return {"type": ["object", "null"], "properties": described, "additionalProperties": False}


def _plain(default: str | float) -> str | float:
    return str(default) if isinstance(default, str) else default  # an enum's member is its text


def _list(**more: int) -> _Schema:
    return {"type": "array", "items": {"type": "string"}, **more}


def _table(value: _Schema, names: str | None = None) -> _Schema:
    named = {"propertyNames": {"pattern": names}} if names else {}
    return {"type": ["object", "null"], "additionalProperties": value, **named}


def _source() -> _Schema:
    text, commit = {"type": "string"}, {"type": ["string", "null"]}
    return {
        "default": ".",
        "oneOf": [
            text,
            _object({"path": text, "commit": commit}) | {"type": "object", "required": ["path"]},
            _object({"git": text, "commit": text}) | {"type": "object", "required": ["git", "commit"]},
        ],
    }


def _input() -> _Schema:
    digest = {"type": ["string", "null"], "pattern": "^([sS][hH][aA]256:)?[0-9a-fA-F]{64}$"}
    form = _object({"path": {"type": "string"}, "sha256": digest}, InputSpec)
    return {"oneOf": [{"type": "string"}, form | {"type": "object", "required": ["path"]}]}


def _output() -> _Schema:
    form = _object({"glob": {"type": "string"}, "volatile": {"type": "boolean", "default": False}})
    return form | {"type": "object", "required": ["glob"]}


def _tolerance() -> _Schema:
    number = {"type": "number", "minimum": 0}
    form = _object({"abs": number, "rel": number}, Tolerance) | {"type": "object", "minProperties": 1}
    table = _table({"oneOf": [number, form]})
    marked = _object({"volatile": {"type": "boolean"}, "abs": number, "rel": number}, Tolerance)
    metrics = _table({"oneOf": [number, marked | {"type": "object", "minProperties": 1}]})
    return _object({"metrics": metrics, "outputs": table}, Tolerances, prefix=" of tolerance")


def _determinism() -> _Schema:
    trace = _object(
        {
            "every": {"type": "integer", "minimum": 1},
            "tensors": {"enum": ["all", "params", "off"]},
        },
        Trace,
    )
    return _object(
        {
            "level": {"enum": ["strict", "warn", "off", None]},
            "threads": {"type": ["integer", "null"], "minimum": 1, "maximum": 1024},
            "portable_cpu": {"type": ["boolean", "null"]},
            "trace": {"oneOf": [{"enum": ["all", "params", "off", None]}, trace | {"type": "object"}]},
        },
        Determinism,
    )


def _resources() -> _Schema:
    return _object(
        {
            "gpus": {"type": ["integer", "null"], "minimum": 0, "maximum": 64},
            "gpu": {"type": ["string", "null"]},
            "cpus": {"type": ["number", "null"], "exclusiveMinimum": 0},
            "memory": _SIZE,
            "shm": _SIZE,
            "timeout": _TIME,
            "processes": {"type": ["integer", "null"], "minimum": 16},
            "output_size": _SIZE,
            "network": {"enum": ["none", "bridge", None]},
        },
        Resources,
    )
