"""For a rerun that is to end at its first difference: the traces that its job writes, beside the original's.

A thread looks, so that deadline and limits of the job are watched meanwhile. Whatever goes wrong here costs
the comparison, never the run: the job goes on to its end, and a note says why. What was found is on the disk
before anything is stopped: a process that takes the attempt over ends it for the same reason.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import RepriseError
from orchestrator.launch.session import Session
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import State
from orchestrator.run.collect.trace_files import MAX_FILES, MAX_SIZE, TRACE_NAME
from orchestrator.run.collect.trace_line import LONGEST_LINE
from orchestrator.run.collect.walk_tree import report_names
from orchestrator.run.container_endings import read_parting, save_parting
from orchestrator.run.follow import LOOK, Ended, Parting
from orchestrator.run.live.growing_file import GrowingFile
from orchestrator.run.workspace import folders_of
from orchestrator.verdict.traces.live_comparison import LiveComparison

EVERY = 0.25  # seconds between two looks at the traces
NO_STOP = "this rerun goes to its end, even where it differs"

Ask = Callable[[], Parting | None]


class DifferenceWatch:
    """Called, it gives where the rerun has parted from its original; None as long as nothing is certain."""

    def __init__(
        self, folder: Path, comparison: LiveComparison, save: Callable[[Parting], None], original: str
    ) -> None:
        self._folder, self._comparison, self._save = folder, comparison, save
        self._original = original
        self._files: dict[str, GrowingFile] = {}
        self.found: Parting | None = None
        self.problem = ""

    def __call__(self) -> Parting | None:
        return self.found

    def look(self) -> bool:
        """Read what is new. False when no more looks are needed."""
        names, _ = report_names(self._folder, TRACE_NAME)
        for name in names[:MAX_FILES]:
            file = self._files.setdefault(name, GrowingFile(self._folder, name, MAX_SIZE, LONGEST_LINE))
            if lines := file.more():
                self._comparison.feed(name, lines, file.again)
            if file.problem:
                self.problem = f"{name}: {file.problem}"
                return False
        first = self._comparison.parted(time.monotonic())
        if first is None:
            return True
        parting = Parting(step=first.step, phase=first.phase.value, original=self._original)
        self._save(parting)
        self.found = parting
        return False

    def close(self) -> None:
        self._comparison.close()
        for file in self._files.values():
            file.close()


@contextmanager
def difference_watch(
    session: Session, run: RunRecord, attempt: int, note: Callable[[str], None]
) -> Iterator[Ask | None]:
    """None where the run is to go to its end anyway. Notes say why nothing is compared."""
    if run.stop_after is None or run.rerun_of is None:
        yield None
        return
    known = read_parting(session.settings, run.id, attempt)
    if known is not None:  # found by a process that was killed
        yield lambda: known
        return
    try:
        watch = _begun(session, run, attempt, note)
    except RepriseError as error:
        watch = None
        note(f"{NO_STOP}: {error.message}")
    if watch is None:
        yield None
        return
    over = threading.Event()
    thread = threading.Thread(target=_work, args=(watch, over, note), name="difference", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()
        watch.close()


def _begun(
    session: Session, run: RunRecord, attempt: int, note: Callable[[str], None]
) -> DifferenceWatch | None:
    from orchestrator.launch.judge.open_evidence import open_evidence
    from orchestrator.verdict.traces.stopping_rules import why_not_to_stop

    assert run.rerun_of is not None and run.stop_after is not None  # noqa: S101  (for mypy)
    original = session.record.run_with_points(run.rerun_of)
    why = why_not_to_stop(original, run)
    if why is not None:
        note(f"{NO_STOP}: {why}")
        return None
    comparison = LiveComparison(original.traces, open_evidence(session.store, original), run.stop_after)
    settings = session.settings
    folder = folders_of(settings, run.id, attempt).report
    return DifferenceWatch(
        folder, comparison, lambda parting: save_parting(settings, run.id, attempt, parting), original.id
    )


def _work(watch: DifferenceWatch, over: threading.Event, note: Callable[[str], None]) -> None:
    try:
        while watch.look():
            if over.wait(EVERY):
                return
    except (RepriseError, OSError, ValueError, MemoryError) as error:
        watch.problem = error.message if isinstance(error, RepriseError) else str(error)
    if watch.problem:
        note(f"{NO_STOP}: its trace cannot be compared: {watch.problem}")


def stopped_by_us(ended: Ended, parted: Ask | None) -> Ended:
    """The ending of a job that we stopped; that process may have been killed before it could say so."""
    parting = parted() if parted is not None else None
    stopped = ended.container is not None and ended.container.exit_code != 0
    if parting is None or not stopped or ended.cause is not None:
        return ended
    cause = {"cause": State.CANCELLED, "message": f"stopped: {parting.message}", "parting": parting}
    return ended.model_copy(update=cause)


def parted_at(ended: Ended) -> int | None:
    """The step for which we stopped the job."""
    return ended.parting.step if ended.parting is not None and ended.container is not None else None


def look_every(parted: Ask | None) -> float:
    """Seconds between two looks at a job."""
    return LOOK if parted is None else EVERY
