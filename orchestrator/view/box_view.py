"""Boxes: their workers, what they left behind, their stores and their health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.message_wording import count
from orchestrator.record.run_record import BoxLine, RunLine
from orchestrator.run.attempt_model import OPEN_STATES
from orchestrator.view.forms.human_units import moment_text, size_text, span_text
from orchestrator.view.forms.json_form import jsonable
from orchestrator.view.forms.page import Block, Table, Text, View
from orchestrator.view.runs.run_columns import box_of
from orchestrator.view.runs.run_view import BOX_SHOWN

if TYPE_CHECKING:
    from orchestrator.launch.doctor import Check
    from orchestrator.launch.execute.recover import Adopted, GivenVerdict, Leftover
    from orchestrator.launch.garbage import CollectedGarbage

FOREIGN_SHOWN = 10
_RESULTS = {True: "ok", False: "wrong", None: "absent"}


def boxes_view(boxes: Sequence[BoxLine]) -> View:
    """Boxes with a worker, each with its `state` of this moment."""

    def page() -> Iterator[Block]:
        if not boxes:
            yield Text("no box has a worker yet (`reprise worker start`)")
            return
        columns = {
            "box": [box.name for box in boxes],
            "id": [box.id[:BOX_SHOWN] for box in boxes],
            "state": [box.state for box in boxes],
            "hardware": [hardware_text(box) for box in boxes],
            "bit class": [box.bit_digest.short for box in boxes],
            "last seen": [moment_text(box.seen_at) for box in boxes],
            "runs": [" ".join(box.runs) for box in boxes],
            "takes nothing because": [box.trouble for box in boxes],
        }
        yield Table(tuple(columns), list(zip(*columns.values(), strict=True)))

    return View({"boxes": boxes}, page())


def hardware_text(box: BoxLine) -> str:
    """`2 x NVIDIA H100 PCIe, 32 cores, 251.0 GiB`."""
    models = Counter(gpu.name for gpu in box.gpus)
    parts = [f"{count} x {name}" if count > 1 else name for name, count in models.items()]
    return ", ".join([*parts, f"{box.cpus} cores", size_text(box.memory)])


def open_runs_view(runs: Sequence[RunLine], waiting: Mapping[str, str], more: bool) -> View:
    """Runs that are not over, the newest first. `waiting`: by run, why no box has taken it yet."""

    def page() -> Iterator[Block]:
        if not runs:
            yield Text("no run is open")
            return
        rows = [
            (
                run.id,
                run.job,
                run.state.value,
                box_of(run),
                moment_text(run.created_at),
                run.submitted_by,
                waiting.get(run.id, ""),
            )
            for run in runs
        ]
        yield Table(("run", "job", "state", "box", "submitted", "by", "waits because"), rows)
        if more:
            states = " ".join(f"--status {state}" for state in OPEN_STATES)
            yield Text(f"and older ones: `reprise history {states} --limit {10 * len(runs)}` lists more")

    return View({"open": runs, "waiting": waiting, "more": more}, page())


def recovery_view(
    adopted: Sequence[Adopted], judged: Sequence[GivenVerdict], leftovers: Sequence[Leftover]
) -> View:
    """Runs that were taken over, verdicts that were missing, and what was removed."""

    def page() -> Iterator[Block]:
        if not adopted and not judged and not leftovers:
            yield Text("nothing to do")
        if adopted:
            rows = [(item.run, item.state, item.now or "orphaned") for item in adopted]
            yield Table(("run", "was", "is"), rows)
        if judged:
            yield Table(("rerun", "verdict"), [(item.run, item.outcome or "missing") for item in judged])
        if leftovers:
            removed = [
                (item.kind, item.name, item.run, "yes" if item.removed else item.why or "no")
                for item in leftovers
            ]
            yield Table(("leftover", "name", "run", "removed"), removed)

    return View({"adopted": adopted, "judged": judged, "leftovers": leftovers}, page())


def garbage_view(done: CollectedGarbage, spared: float, dry_run: bool) -> View:
    """What `store gc` removed; blobs younger than `spared` seconds were left alone."""

    def page() -> Iterator[Block]:
        verb = "would remove" if dry_run else "removed"
        yield Text(f"{verb} {done.removed} of {count(done.seen, 'blob')}, {size_text(done.bytes)}")
        if done.young:
            yield Text(f"{count(done.young, 'blob')} younger than {span_text(spared)} left alone")
        if done.only_in_ledger:
            yield Text(
                f"{count(done.only_in_ledger, 'blob')} left alone that only the ledger names: "
                "`reprise audit` says which rows are gone or altered"
            )
        for name in done.foreign[:FOREIGN_SHOWN]:
            yield Text(f"not a blob, left alone: {name}")

    return View(jsonable(done) | {"dry_run": dry_run}, page())


def checks_view(checks: Sequence[Check]) -> View:
    """What the doctor found, and how to mend it."""

    def page() -> Iterator[Block]:
        rows = [(check.name, _RESULTS[check.ok], check.detail) for check in checks]
        yield Table(("check", "state", "detail"), rows)
        for check in checks:
            if check.hint and not check.ok:
                yield Text(f"\n{check.name}: {check.hint}")

    names = ("name", "ok", "detail", "hint")
    return View({"checks": [{name: getattr(check, name) for name in names} for check in checks]}, page())
