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
    WARN = "warn"  # such an op warns
    OFF = "off"  # no lever but the seeds


class Network(StrEnum):
    NONE = "none"
    BRIDGE = "bridge"


class TracedTensors(StrEnum):
    ALL = "all"
    PARAMS = "params"
    OFF = "off"


class Trace(Value):
    """What the runtime digests while the job trains: every Nth optimizer step, which tensors."""

    every: Annotated[int, Field(ge=1)] = 1
    tensors: TracedTensors = TracedTensors.ALL


class Determinism(Value):
    level: Level = Level.STRICT
    threads: Annotated[int, Field(ge=1, le=1024)] = 1  # OMP, MKL, OpenBLAS, torch: never the box's count
    portable_cpu: bool = True  # same instruction set on every x86-64 box since 2013 (AVX2)
    trace: Trace = Trace()


class Resources(Value):
    """What a run may use. Sizes in bytes, times in seconds. Not part of the identity, but for `gpus`."""

    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    gpu: str | None = None  # a model name that the box's GPUs must contain, case-insensitive
    cpus: Annotated[float, Field(gt=0)] | None = None
    memory: Annotated[int, Field(ge=32 << 20)] | None = None  # None: nine tenths of the box's
    shm: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    timeout: Annotated[float, Field(gt=0)] | None = None
    processes: Annotated[int, Field(ge=16)] = 4096
    output_size: Annotated[int, Field(ge=1 << 20)] = 10 << 30
    network: Network = Network.NONE


class SourceSpec(Value):
    """Where the code is: a folder, or a git repository at a commit. Paths are absolute once read."""

    path: str
    commit: str | None = None  # full or short commit id, or a ref; None: the folder as it is


class InputSpec(Value):
    path: str
    sha256: Digest | None = None  # demanded digest, checked before anything is built


class Tolerance(Value):
    """|a - b| <= abs + rel * |a|, where a is the original. NaN is within nothing but NaN."""

    abs: Annotated[float, Field(ge=0)] = 0.0
    rel: Annotated[float, Field(ge=0)] = 0.0


class Tolerances(Value):
    """What a verdict excuses. Not part of the identity: it travels in the run's record."""

    metrics: dict[str, Tolerance] = {}
    outputs: dict[str, Tolerance] = {}  # glob -> tolerance; files of tensors only
    volatile: tuple[str, ...] = ()  # globs of outputs that differ by nature: kept, listed, never compared
    volatile_metrics: tuple[str, ...] = ()  # names, `*` in them is any text: times and speeds, never compared


class JobSpec(Value):
    """A job file, read and checked. `source`, `requirements` and input paths are absolute."""

    name: Name
    description: str = ""
    base: str | None = None  # a flavour of images/, or repo@sha256:...; None: the default of bases.toml
    source: SourceSpec
    requirements: str | None = None
    command: str | tuple[str, ...]
    params: dict[Name, Scalar] = {}
    env: dict[EnvName, str] = {}
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    inputs: dict[Name, InputSpec] = {}
    outputs: tuple[str, ...] = ("**",)  # globs under the working directory
    metrics: str | None = None  # path under the working directory; default: metrics.json(l) where written
    tolerance: Tolerances = Tolerances()
    determinism: Determinism = Determinism()
    resources: Resources = Resources()
