"""Where the inputs of a program lie on this box, verified by digest before they are mounted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.spec.inputs import hash_inputs
from orchestrator.spec.model import InputSpec


def located_inputs(wanted: Mapping[str, Digest], paths: Mapping[str, str]) -> dict[str, Path]:
    """Name to path for every input; UsageError where one is not to be found or has other bytes."""
    missing = [name for name in wanted if name not in paths]
    if missing:
        raise UsageError(
            "this box does not know where these inputs are: " + ", ".join(sorted(missing)),
            " ".join(f"--input {name}=PATH" for name in sorted(missing)),
        )
    hash_inputs({name: InputSpec(path=paths[name], sha256=digest) for name, digest in wanted.items()})
    return {name: Path(paths[name]) for name in wanted}
