"""Inputs that a job names and does not point at: `data:NAME`, `run:RUN/PATH`. The record knows their digest.

Nothing is copied: the bytes are in the store. The list of a folder of outputs is put there, too: boxes fetch
the folder by it.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.launch.session import Session
from orchestrator.message_wording import listed
from orchestrator.record.lineage.output_as_input import Entries, output_as_input
from orchestrator.record.record import Record
from orchestrator.record.run_record import HistoryFilter, InputOrigin, RunRecord
from orchestrator.record.store.input_trees import held_list, is_folder
from orchestrator.run.attempt_model import State
from orchestrator.several_at_once import each
from orchestrator.spec.inputs import InputData
from orchestrator.spec.jobfile.input_reference import DataReference, RunReference, read_reference
from orchestrator.spec.jobfile.job_spec import InputSpec
from orchestrator.value import Value

_AT_ONCE = 16  # questions to the store


class LookedUp(Value):
    """What a reference led to."""

    data: InputData
    origin: InputOrigin


def look_up_inputs(session: Session, inputs: Mapping[str, InputSpec]) -> dict[str, LookedUp]:
    """The inputs that are references. UsageError names each one that leads nowhere, or to other bytes."""
    found: dict[str, LookedUp] = {}
    problems: list[UsageError] = []
    for name, item in sorted(inputs.items()):
        try:
            one = look_up(session, item.path)
            if one is not None and item.sha256 not in (None, one.data.digest):
                raise UsageError(f"{item.path} is {one.data.digest}, not {item.sha256}", _PART)  # noqa: TRY301
        except UsageError as error:
            problems.append(UsageError(f"input {name}: {error.message}", error.hint))
            continue
        if one is not None:
            found[name] = one
    if problems:
        hints = dict.fromkeys(error.hint for error in problems if error.hint)
        raise UsageError("\n".join(error.message for error in problems), "; ".join(hints))
    return found


_PART = "the bytes of an input are part of what is run"


def look_up(session: Session, text: str) -> LookedUp | None:
    """What a reference leads to; None for a path. UsageError says what there is instead."""
    try:
        reference = read_reference(text)
    except ValueError as error:
        raise UsageError(
            f"{text[:100]} {error}", f"a path that begins so is written ./{text[:100]}"
        ) from None
    if reference is None:
        return None
    if isinstance(reference, DataReference):
        return _named_data(session, text, reference)
    return _outputs(session, text, reference)


def _named_data(session: Session, text: str, reference: DataReference) -> LookedUp:
    found = session.record.data_sets.find(reference.name, reference.version)
    data = session.record.data_sets.known_input(found.digest)
    assert data is not None  # noqa: S101  (a version is found with its data)
    if not session.store.has(data.digest):
        raise UsageError(
            f"data {found.reference} is recorded, and {session.store.name} has not its bytes",
            f"put them there once more: `reprise data add PATH --name {found.name}`",
        )
    return LookedUp(data=data, origin=InputOrigin(asked=text, data=found.name, version=found.version))


def _outputs(session: Session, text: str, reference: RunReference) -> LookedUp:
    run = session.record.run(_run_of(session.record, reference))
    _refuse_unfinished(run)
    data, entries = output_as_input(run.id, run.outputs, reference.path)
    if data.folder:
        _refuse_missing(session, run.id, entries)
        with held_list(entries) as whole:
            whole.put(session.store)
    else:
        _refuse_missing(session, run.id, [(reference.path, data.digest.hex, data.size)])
        if is_folder(session.store, data.digest):
            raise UsageError(
                f"{reference.path} of run {run.id} holds exactly the list of a folder's files, and so has "
                "the digest of that folder",
                "write it with a line break at its end",
            )
    return LookedUp(data=data, origin=InputOrigin(asked=text, run=run.id, path=reference.path))


def _run_of(record: Record, reference: RunReference) -> str:
    match reference.pick:
        case None:
            return _named_run(record, reference)
        case "latest":
            return record.history.latest_of_job(reference.run)
        case pick:
            metric = reference.metric or ""
            return record.history.best(reference.run, metric, minimize=pick == "least").line.id


def _named_run(record: Record, reference: RunReference) -> str:
    """By id or alias. UsageError; where a job is called so, it says how its runs are chosen."""
    try:
        return record.find(reference.run)
    except UsageError as error:
        if not record.history.lines(HistoryFilter(job=reference.run, limit=1)):
            raise
        forms = (f"run:{reference.run}@{pick}/{reference.path}" for pick in ("latest", "best(METRIC)"))
        hint = f"a job is called {reference.run}; of its runs, {' and '.join(forms)} choose one"
        raise UsageError(error.message, hint) from None


def _refuse_unfinished(run: RunRecord) -> None:
    if run.state is State.SUCCEEDED:
        return
    if not run.state.final:
        raise UsageError(
            f"run {run.id} of {run.job} is {run.state.value}: its outputs are not there yet",
            f"wait for its end (`reprise logs -f {run.id}`), or name another run",
        )
    why = f" ({run.failure.value})" if run.failure is not None else ""
    raise UsageError(
        f"run {run.id} of {run.job} has not succeeded: {run.state.value}{why}",
        f"name a run that has; what this one left is taken as a path: `reprise outputs {run.id} --to FOLDER`",
    )


def _refuse_missing(session: Session, run: str, entries: Entries) -> None:
    """UsageError where the store lacks one of these outputs: no box could fetch it."""
    paths = {Digest(f"sha256:{hex_}"): path for path, hex_, _ in entries}
    there = each(session.store.has, paths, _AT_ONCE)
    missing = sorted(path for path, kept in zip(paths.values(), there, strict=True) if not kept)
    if missing:
        raise UsageError(
            f"{session.store.name} has not output {listed(missing, 1)} of run {run}",
            "name the store that has it (REPRISE_STORE), or bring it: `reprise export`, `reprise import`",
        )
