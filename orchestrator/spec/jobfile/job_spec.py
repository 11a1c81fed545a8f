"""JobSpec: everything a job file can say, as one frozen value. Reading it from YAML is `read_job.py`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from orchestrator.digest import Digest
from orchestrator.value import Value

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
"""A parameter's value. The types are strict: `1`, `1.0`, `true` and `"1"` are four different values."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""A name that is safe as a file name, an image tag's part and a table cell."""

EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Level(StrEnum):
    """How hard determinism is asked for."""

    STRICT = "strict"  # an op without a deterministic form fails the job
    WARN = "warn"  # it warns
    OFF = "off"  # only seeds and thread counts are set


class Network(StrEnum):
    NONE = "none"
    BRIDGE = "bridge"


class TracedTensors(StrEnum):
    ALL = "all"
    PARAMS = "params"
    OFF = "off"


class Trace(Value):
    every: int = Field(1, ge=1, description="Every how many optimizer steps.")
    tensors: TracedTensors = Field(TracedTensors.ALL, description="Which tensors are digested.")


class Determinism(Value):
    level: Level = Field(
        Level.STRICT,
        description="strict: an operation without a deterministic form fails the job; warn: it warns; "
        "off: seeds only.",
    )
    # Never the box's count, which would change the bits from box to box.
    threads: int = Field(1, ge=1, le=1024, description="CPU threads of OpenMP, MKL, OpenBLAS and PyTorch.")
    # AVX2: every x86-64 box since 2013 has it.
    portable_cpu: bool = Field(True, description="The same CPU instructions on every x86-64 machine.")
    trace: Trace = Field(
        Trace(), description="Digests while the job trains: all, params, off, or {every, tensors}."
    )


class Resources(Value):
    """What a run may use. Sizes in bytes, times in seconds."""

    gpus: int = Field(0, ge=0, le=64, description="How many GPUs. Identity.")
    gpu: str | None = Field(None, description="Part of the GPU's model name, such as H100.")
    cpus: Annotated[float, Field(gt=0)] | None = Field(None, description="How many CPUs; default: all.")
    memory: Annotated[int, Field(ge=32 << 20)] | None = Field(
        None, description="A size such as 8GiB, or bytes; default: nine tenths of the machine's."
    )
    shm: int = Field(1 << 30, ge=1 << 20, description="The size of /dev/shm.")
    timeout: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Seconds, or a time such as 30m or 1h30m; default: none."
    )
    processes: int = Field(4096, ge=16, description="How many processes and threads at once.")
    output_size: int = Field(10 << 30, ge=1 << 20, description="How much the job may write.")
    network: Network = Field(Network.NONE, description="none, or bridge: the network of the machine.")


class SourceSpec(Value):
    """A folder, or a git repository at a commit. The path is absolute once read."""

    path: str = Field(description="A folder, as seen from the job file's folder.")
    commit: str | None = Field(
        None, description="A commit id, short or full, or a ref; default: the folder as it is."
    )


class InputSpec(Value):
    path: str = Field(
        description="A file or folder, as seen from the job file's folder; data:NAME or data:NAME@VERSION, "
        "named data; run:RUN/PATH, run:ALIAS/PATH, run:JOB@latest/PATH, run:JOB@best(METRIC)/PATH or "
        "run:JOB@least(METRIC)/PATH, outputs of an earlier run."
    )
    sha256: Digest | None = Field(
        None, description="The digest that the input must have, 64 hex digits, sha256: before it or not."
    )
    upload: bool = Field(
        True, description="Whether a store that is shared gets a copy, so that other boxes can have it."
    )


class Tolerance(Value):
    """|a - b| <= abs + rel * |a|, where a is the original. NaN is within the tolerance of NaN only."""

    abs: float = Field(0.0, ge=0, description="Absolute part.")
    rel: float = Field(0.0, ge=0, description="Relative part.")


class Tolerances(Value):
    """What a verdict excuses. Not part of the identity: it travels in the run's record."""

    metrics: dict[str, Tolerance] = Field({}, description="Metric name to tolerance.")
    outputs: dict[str, Tolerance] = Field({}, description="Glob to tolerance, for files of tensors.")
    # In a job file these are marks of single outputs and metrics (short_forms.py).
    volatile: tuple[str, ...] = ()  # globs of outputs that differ by nature: kept, listed, never compared
    volatile_metrics: tuple[
        str, ...
    ] = ()  # names, in which `*` is any text: times and speeds, never compared


class JobSpec(Value):
    """A job file, read and checked. `source`, `requirements` and input paths are absolute.

    The descriptions are those of the JSON Schema (json_schema.py).
    """

    name: Name = Field(description="The job's name: letters, digits, dot, dash and underscore. Identity.")
    description: str = Field("", description="What it is, for people.")
    base: str | None = Field(
        None,
        description="A base's name (cpu, cuda) or REPOSITORY@sha256:...; default: cuda, with GPUs or "
        "without. Identity.",
    )
    source: SourceSpec = Field(
        description="The code: a folder, {path, commit}, or {git, commit}; default: the job file's folder. "
        "Identity."
    )
    requirements: str | None = Field(
        None,
        description="What the base does not bring: a requirements file with hashes (of reprise lock), "
        "a pylock.toml or a uv.lock. Identity.",
    )
    command: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="What runs: text for bash -euo pipefail, or a list of words. {name}: a parameter, "
        "{seed}: the seed. Identity."
    )
    params: dict[Name, Scalar] = Field(
        {}, description="Parameters: text, numbers, true or false; changed by -p name=value. Identity."
    )
    env: dict[EnvName, str] = Field({}, description="Environment variables, all of them text. Identity.")
    seed: int = Field(
        0, ge=0, lt=1 << 32, description="Seeds Python, NumPy and PyTorch, and fills {seed}. Identity."
    )
    inputs: dict[Name, InputSpec] = Field(
        {},
        description="Data, read-only at /inputs/NAME: a path, data:NAME, run:RUN/PATH, or {path, sha256}. "
        "Its digest is identity, its place is not.",
    )
    outputs: tuple[str, ...] = Field(
        ("**",), description="Globs under the working directory; default: all that the job writes. Identity."
    )
    metrics: str | None = Field(
        None,
        description="A file of metrics under the working directory; default: metrics.json and "
        "metrics.jsonl. Identity.",
    )
    tolerance: Tolerances = Field(
        Tolerances(),
        description="How far a rerun's metrics and outputs may differ: |a - b| <= abs + rel * |a|.",
    )
    determinism: Determinism = Field(
        Determinism(), description="How hard the same bits are asked for. Identity."
    )
    resources: Resources = Field(
        Resources(), description="What a run may use. Of these, only gpus is identity."
    )
