"""verify: verdicts computed once more from the stored records and bytes; nothing is run, nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from orchestrator.digest import Digest
from orchestrator.launch.judge.open_evidence import open_evidence
from orchestrator.launch.session import Session
from orchestrator.record.run_record import HistoryFilter, RunRecord, VerdictLine
from orchestrator.record.store.blob_store import AbsentBlobError, AlteredStoreError
from orchestrator.value import Value
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.outputs.torch_contents import stored_contents
from orchestrator.verdict.verdict_model import Verdict


class VerdictCheck(StrEnum):
    AGREES = "agrees"
    DIFFERS = "differs"  # the evidence gives another verdict
    DAMAGED = "damaged"  # stored bytes are gone, or are not those of their digest


class VerifiedVerdict(Value):
    """One stored verdict beside the one that its evidence gives today."""

    run: str  # the rerun
    original: str
    stored: str  # outcome
    recomputed: str
    finding: VerdictCheck
    summary: str  # of the recomputed verdict; the stored sentence is not compared
    differences: tuple[str, ...] = ()  # what the two verdicts do not share
    missing: tuple[str, ...] = ()  # evidence that is not in the store: `RUN: model.pt`
    damaged: tuple[str, ...] = ()  # evidence whose bytes are others

    @property
    def sound(self) -> bool:
        return self.finding is VerdictCheck.AGREES


def stored_verdicts(session: Session, runs: list[str]) -> list[VerdictLine]:
    """Every verdict in which one of these runs is the rerun, run by run, oldest first."""
    return [line for run in runs for line in session.record.history.verdicts(run) if line.run == run]


def judged_runs(session: Session, job: str | None) -> list[str]:
    """Runs that have a verdict, of one job or of all, oldest first."""
    lines = session.record.history.lines(HistoryFilter(job=job))
    return [line.id for line in reversed(lines) if line.verdict is not None]


def verify(session: Session, lines: list[VerdictLine]) -> Iterator[VerifiedVerdict]:
    """Each verdict as it comes. Every stored output and trace that it rests on is read, each blob once."""
    broken = _checker(session)

    @lru_cache(maxsize=8)  # reruns of one original follow each other
    def record(run: str) -> RunRecord:
        return session.record.run_with_points(run)

    for line in lines:
        original, rerun = record(line.original), record(line.run)
        missing, damaged = _evidence(original, rerun, broken)
        again = compare(
            original, rerun, open_evidence(session.store, original, rerun), stored_contents(line.document)
        )
        differences = verdict_differences(line, again)
        finding = VerdictCheck.DIFFERS if differences else VerdictCheck.AGREES
        yield VerifiedVerdict(
            run=line.run,
            original=line.original,
            stored=line.outcome,
            recomputed=again.outcome.value,
            finding=VerdictCheck.DAMAGED if missing or damaged else finding,
            summary=again.summary,
            differences=differences,
            missing=missing,
            damaged=damaged,
        )


# What a verdict says; wording, notes and the ranking of causes may improve from release to release.
_SAID = {
    "first": ("rank", "step", "phase", "tensor", "original", "rerun"),
    "files": ("path", "original", "rerun", "first_byte"),
    "metrics": ("name", "original", "rerun", "within"),
}


def verdict_differences(line: VerdictLine, again: Verdict) -> tuple[str, ...]:
    """What a stored verdict and the recomputed one do not share; parts that it never had are left out."""
    stored, found = line.document, json.loads(json.dumps(again.model_dump(mode="json")))
    differences = []
    if stored.get("outcome") != line.outcome:
        differences.append(f"the row says {line.outcome}, the verdict in it {stored.get('outcome')}")
    for name, run in (("original", line.original), ("rerun", line.run)):
        if stored.get(name) != run:
            differences.append(f"the row is about {run}, the verdict in it about {stored.get(name)}")
    if line.outcome != again.outcome:
        differences.append(f"outcome: stored {line.outcome}, recomputed {again.outcome.value}")
    for part, fields in _SAID.items():
        if part in stored:
            left, right = _said(stored[part], fields), _said(found.get(part), fields)
            pair = next(((a, b) for a, b in zip_longest(left, right) if a != b), None)
            differences += [f"{part}: {_apart(*pair, fields)}"] if pair else []
    return tuple(differences)


def _said(value: Any, fields: tuple[str, ...]) -> list[dict[str, str]]:
    """The facts of a part, item by item, each as JSON text, so that NaN equals NaN."""
    items = value if isinstance(value, list) else [value]
    return [{name: json.dumps(item.get(name)) for name in fields} for item in items if isinstance(item, dict)]


def _apart(stored: dict[str, str] | None, found: dict[str, str] | None, fields: tuple[str, ...]) -> str:
    """`"w.pt": first_byte 0 stored, 7 recomputed`: the first item that is not the same in both."""
    name = fields[0]
    if stored is None or found is None or stored[name] != found[name]:
        pair = ("nothing" if item is None else f"{name} {item[name]}" for item in (stored, found))
        return "stored {}, recomputed {}".format(*pair)
    moved = next(field for field in fields if stored[field] != found[field])
    return f"{name} {stored[name]}: {moved} stored {stored[moved]}, recomputed {found[moved]}"


Broken = Callable[[Digest, int], str | None]


def _checker(session: Session) -> Broken:
    """`missing`, `damaged`, or None for a blob that is whole; each blob is read once."""
    known: dict[tuple[Digest, int], str | None] = {}

    def broken(digest: Digest, size: int) -> str | None:
        if (digest, size) not in known:
            known[digest, size] = _look(session, digest, size)
        return known[digest, size]

    return broken


def _look(session: Session, digest: Digest, size: int) -> str | None:
    """StoreError where the store is away: that says nothing of the blob."""
    try:
        session.store.verify(digest, size)
    except AbsentBlobError:
        session.store.check_there()
        return "missing"
    except AlteredStoreError:
        return "damaged"
    return None


def _evidence(
    original: RunRecord, rerun: RunRecord, broken: Broken
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Outputs and traces of both runs that are not in the store, and those whose bytes are others."""
    found: dict[str, list[str]] = {"missing": [], "damaged": []}
    for run in (original, rerun):
        named = [(one.path, one.digest, one.size) for one in run.outputs if one.digest is not None]
        named += [(f"trace of rank {one.rank}, pid {one.pid}", one.digest, one.size) for one in run.traces]
        for name, digest, size in named:
            state = broken(digest, size)
            if state is not None:
                found[state].append(f"{run.id}: {name}")
    return tuple(found["missing"]), tuple(found["damaged"])
