"""Where the inputs of a program lie on this box, verified by digest before they are mounted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.record.run_record import RunRecord
from orchestrator.settings import Settings
from orchestrator.spec.inputs import hash_inputs
from orchestrator.spec.jobfile.job_spec import InputSpec


def located_inputs(
    wanted: Mapping[str, Digest], paths: Mapping[str, str], imported: Path | None = None
) -> dict[str, Path]:
    """Name to path for every input; UsageError where one is not to be found or has other bytes.

    `imported` is the folder of inputs that came in bundles (Settings.inputs).
    """
    found = find_inputs(wanted, paths, imported)
    hash_inputs({name: InputSpec(path=str(found[name]), sha256=digest) for name, digest in wanted.items()})
    return found


def recorded_inputs(settings: Settings, run: RunRecord) -> dict[str, Path]:
    """The inputs of a run where its row says that they lie, verified.

    UsageError, which does not say what is at the path: whoever writes rows could ask for any file.
    """
    wanted = run.program.inputs
    find_inputs(wanted, run.input_paths, settings.inputs)
    found: dict[str, Path] = {}
    for name, digest in sorted(wanted.items()):
        try:
            found |= located_inputs({name: digest}, run.input_paths, settings.inputs)
        except UsageError as error:
            raise UsageError(
                f"input {name} of run {run.id} is not on this box: nothing of {digest} lies at its path",
                f"bring it to where the job's spec says, or `reprise rerun {run.id} --input {name}=PATH`",
            ) from error
    return found


def find_inputs(
    wanted: Mapping[str, Digest], paths: Mapping[str, str], imported: Path | None = None
) -> dict[str, Path]:
    """As `located_inputs`, but nothing is read. Where a path is absent, a bundle's copy is taken."""
    found: dict[str, Path] = {}
    for name, digest in wanted.items():
        copy = None if imported is None else imported / digest.hex
        if name in paths and (copy is None or Path(paths[name]).exists() or not copy.exists()):
            found[name] = Path(paths[name])
        elif copy is not None and copy.exists():
            found[name] = copy
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        raise UsageError(
            "this box does not know where these inputs are: " + ", ".join(missing),
            " ".join(f"--input {name}=PATH" for name in missing),
        )
    return found
