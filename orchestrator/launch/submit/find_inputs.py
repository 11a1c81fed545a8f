"""Where the inputs of a program lie on this box, verified by digest before they are mounted.

They are looked for in this order: the path that the caller gives, the path in the record if its bytes are
right, this box's cache, the store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.launch.inputs.fetch_input import AbsentInputError, materialise, materialised
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent, Watch
from orchestrator.record.run_record import RunRecord
from orchestrator.several_at_once import Stop
from orchestrator.spec.input_stamps import look_at, stamp_of
from orchestrator.spec.inputs import read_input
from orchestrator.value import Value


class FoundInputs(Value):
    """Inputs that were just verified."""

    paths: dict[str, Path] = {}
    stamps: dict[str, str] = {}  # from before they were verified


def located_inputs(
    session: Session,
    wanted: Mapping[str, Digest],
    paths: Mapping[str, str],
    watch: Watch,
    *,
    given: Collection[str] = (),
    run: str | None = None,
    tell: bool = True,
    stop: Stop | None = None,
) -> FoundInputs:
    """Every input, verified. UsageError names those that no place has; StoreError where the store fails.

    `paths`: where inputs lay. For those in `given` a person has just named the path: no other place counts.
    `run`: an open run of this box, whose lock the caller has: its inputs stay in the cache. `tell`: note what
    is at a path that has other bytes. `stop` ends the hashing and fetching.
    """
    found: dict[str, Path] = {}
    stamps: dict[str, str] = {}
    problems: list[str] = []
    for name, digest in sorted(wanted.items()):
        path = Path(paths[name]) if name in paths else None
        trouble = f"input {name} is not known to lie anywhere on this box"
        if path is not None:
            look = look_at(path)
            trouble = _trouble(session, name, digest, path, stop)
            if not trouble:
                found[name], stamps[name] = path, look.stamp
                continue
        if name in given:
            problems.append(trouble)
            continue
        try:
            found[name] = materialise(session, digest, watch, run=run, stop=stop)
        except AbsentInputError:
            problems.append(f"{trouble}; Reprise has kept no copy of {digest.short}")
            continue
        stamps[name] = stamp_of(found[name])
        if path is not None and tell and path.exists():
            watch.note(f"{trouble}; the copy that Reprise kept is used")
    if problems:
        lacking = sorted(name for name in wanted if name not in found)
        raise UsageError("\n".join(problems), " ".join(f"--input {name}=PATH" for name in lacking))
    return FoundInputs(paths=found, stamps=stamps)


def _trouble(session: Session, name: str, digest: Digest, path: Path, stop: Stop | None) -> str:
    """Why a path cannot be taken for the input; empty where its bytes are right."""
    try:
        there = read_input(path, session.known_hashes, stop=stop).digest
    except UsageError as error:
        return f"input {name}: {error.message}"
    return "" if there == digest else f"input {name}: {path} is {there}, not {digest}"


def recorded_inputs(session: Session, run: RunRecord, watch: Watch, stop: Stop) -> FoundInputs:
    """The inputs of an open run, verified, for its executor: where its row says, else by their digests.

    UsageError, which does not say what is at the path: whoever writes rows could ask for any file.
    """
    paths: dict[str, Path] = {}
    stamps: dict[str, str] = {}
    for name, digest in sorted(run.program.inputs.items()):
        try:
            found = located_inputs(
                session, {name: digest}, run.input_paths, watch, run=run.id, tell=False, stop=stop
            )
        except UsageError as error:
            raise UsageError(
                f"input {name} of run {run.id} is not on this box: nothing of {digest} lies at its path, "
                "in this box's cache or in the store",
                f"bring it to where the job's spec says, or `reprise rerun {run.id} --input {name}=PATH`",
            ) from error
        paths |= found.paths
        stamps |= found.stamps
    return FoundInputs(paths=paths, stamps=stamps)


@contextmanager
def find_inputs(
    session: Session, wanted: Mapping[str, Digest], paths: Mapping[str, str]
) -> Iterator[dict[str, Path]]:
    """Where inputs lie, for a caller that checks each byte as it goes: at a path that is there, or a copy.

    While it is entered, nobody takes the copies away. Several copies are held in the order of their digests,
    so that two such callers never wait for each other.
    """
    found = {name: Path(paths[name]) for name in wanted if name in paths and Path(paths[name]).exists()}
    missing = sorted(wanted.keys() - found.keys())
    with ExitStack() as held:
        copies: dict[Digest, Path] = {}
        for digest, name in sorted({wanted[name]: name for name in reversed(missing)}.items()):
            try:
                copies[digest] = held.enter_context(materialised(session, digest, Silent()))
            except AbsentInputError as error:
                raise UsageError(
                    f"this box does not know where input {name} is, and no copy was kept: {error.message}",
                    " ".join(f"--input {one}=PATH" for one in missing),
                ) from error
        yield found | {name: copies[wanted[name]] for name in missing}
