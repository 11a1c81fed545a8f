"""Program: the part of a spec that defines the result. It travels inside the image, as one label.

A box that has only the image's digest reads the program from the image's config and can rerun it.
What does not define the result (limits, timeout, tolerances, where an input lies) is not here: it
belongs to the run's record (docs/decisions/0002-what-is-identity.md).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.digest import Digest, canonical_json
from orchestrator.spec.jobfile.job_spec import Determinism, EnvName, JobSpec, Name, Scalar
from orchestrator.spec.jobfile.placeholders import fill_command
from orchestrator.value import Value

FORMAT_1 = (
    "format",
    "name",
    "command",
    "params",
    "env",
    "seed",
    "inputs",
    "outputs",
    "metrics",
    "determinism.level",
    "determinism.threads",
    "determinism.portable_cpu",
    "determinism.trace.every",
    "determinism.trace.tensors",
    "gpus",
)
"""The label's fields that are always written. Frozen: no field is added or removed."""

LATER: dict[str, object] = {}
"""Fields that came later: dotted name -> default, as JSON has it. A default in here never changes.

A label holds such a field only at another value, so the digests of programs without it stay as they are.
"""


class Program(Value):
    """What runs, exactly. Equal programs over equal layers give equal digests."""

    format: Literal[1] = 1
    name: Name
    command: Annotated[tuple[str, ...], Field(min_length=1)]  # argv, placeholders filled
    params: dict[Name, Scalar] = {}
    env: dict[EnvName, str] = {}
    seed: int = 0
    inputs: dict[Name, Digest] = {}  # mounted read-only at /inputs/NAME
    outputs: tuple[str, ...] = ("**",)
    metrics: str | None = None
    determinism: Determinism = Determinism()
    gpus: int = 0

    def to_label(self) -> str:
        """The text that is identity: see FORMAT_1 and LATER."""
        document = self.model_dump(mode="json")
        for name, default in LATER.items():
            _drop(document, name.split("."), default)
        return canonical_json(document).decode()

    @classmethod
    def from_label(cls, text: str) -> Program:
        """ValueError for a field that this release does not know: it came later."""
        return cls.model_validate_json(text)


def _drop(table: dict[str, Any], path: list[str], default: object) -> None:
    """Remove a field that is at its default, then a table that is empty without it."""
    name, *below = path
    if below:
        _drop(table[name], below, default)
    if table[name] == ({} if below else default):
        del table[name]


def program_of(spec: JobSpec, inputs: dict[str, Digest]) -> Program:
    """The program of a spec whose inputs have been hashed.

    A command given as text runs under `bash -euo pipefail -c`, its placeholders quoted for the shell.
    """
    return Program(
        name=spec.name,
        command=fill_command(spec.command, spec.params, spec.seed),
        params=spec.params,
        env=spec.env,
        seed=spec.seed,
        inputs=inputs,
        outputs=spec.outputs,
        metrics=spec.metrics,
        determinism=spec.determinism,
        gpus=spec.resources.gpus,
    )
