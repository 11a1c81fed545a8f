"""Pairs of records with one thing changed somewhere: never called identical. Honest pairs: always."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from support.altered import flipped
from support.examples import tries

from orchestrator.digest import Digest
from orchestrator.record.run_record import RunRecord
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.verdict_model import Outcome

pytestmark = pytest.mark.property

PAIRS = tries(12_000)  # records with a field changed, each compared both ways
BYTES = tries(6_000)  # traces with one bit changed, or a line moved
HONEST_PAIRS = tries(10_000)

# Every field of a record is in one of these two, so that a new one has to be thought about.
MATTERS = {
    "image",
    "config_digest",
    "base",
    "program",
    "state",
    "failure",
    "exit_code",
    "oom_killed",
    "metrics",
    "series",
    "outputs",
    "packages",
    "source",
    "reports_missing",
    "readbacks",  # only whether the process was traced; other flags are named, and equal bits are equal bits
    "traces",  # but for the pid
    "parted_at",
}
DOES_NOT_MATTER = {
    "id",  # each run has its own
    "job",  # the program's name, which is compared
    "description",
    "reference",  # a box's own name for the image, whose digests are compared
    "resources",  # limits; the number of GPUs is in the program
    "tolerance",  # a judgement about results; the original's is used
    "input_paths",  # their digests are in the program
    "input_origins",  # likewise
    "message",
    "last_line",  # the log's words
    "attempt",
    "rerun_of",
    "stop_after",
    "submitted_by",
    "box",
    "box_name",
    "wanted",  # where it should run
    "created_at",
    "started_at",
    "finished_at",
    "seconds",
    "fingerprint",  # explains bits, is not bits
    "git",  # the source is compared file by file
    "log",
    "notes",
    "logged",  # what it comes from is a file, and an output where that is kept
    "metrics_incomplete",
    "imported",  # where its record came from
}


def test_every_field_was_thought_about():
    assert set(RunRecord.model_fields) == MATTERS | DOES_NOT_MATTER
    assert not MATTERS & DOES_NOT_MATTER


@pytest.mark.parametrize("seed", range(3))
def test_one_change_anywhere_is_never_identical(record, blobs, seed):
    generator = random.Random(seed)
    seen: dict[str, int] = dict.fromkeys(MATTERS, 0)
    for number in range(PAIRS // 2 // 3):
        original = record(**some_record(generator, blobs))
        field = sorted(MATTERS)[number % len(MATTERS)]
        changed = change(generator, original, field)
        if changed is None:
            continue
        seen[field] += 1
        rerun = changed.model_copy(update={"id": "b" * 16})
        for pair in ((original, rerun), (rerun, original.model_copy(update={"id": "c" * 16}))):
            verdict = compare(*pair, blobs.open)
            assert verdict.outcome is not Outcome.IDENTICAL, (field, pair)
            assert verdict.outcome is not Outcome.WITHIN_TOLERANCE, (field, pair)
            assert verdict.summary.startswith(verdict.outcome.value.replace("_", " ") + ": ")
    assert min(seen.values()) >= PAIRS // 6 // len(MATTERS) // 2, seen


def test_one_bit_anywhere_in_a_trace_is_never_identical(record, blobs, trace_of):
    generator = random.Random(9)
    left, right = record(), record(id="b" * 16)
    seen: Counter[Outcome] = Counter()
    for number in range(BYTES):
        lines = trace_of(pid=9, began=77)
        whole = blobs.traced(lines)
        data = blobs.held[whole.digest]
        altered = one_bit(generator, data) if number % 4 else one_line(generator, data)
        file = whole.model_copy(update={"digest": Digest.of(altered), "size": len(altered)})
        if not number % 4:  # as the collector would count them
            file = file.model_copy(update={"events": altered.count(b'\n{"e":')})
        blobs.held[file.digest] = altered
        changed = right.model_copy(update={"traces": (file,)})
        pair = (left, changed) if number % 2 else (changed, left)
        verdict = compare(*pair, blobs.open)
        assert verdict.outcome is not Outcome.IDENTICAL, altered
        seen[verdict.outcome] += 1
        del blobs.held[file.digest]
    assert min(seen[Outcome.DIFFERENT], seen[Outcome.NOT_INSTRUMENTED]) > BYTES // 5, seen


def one_bit(generator: random.Random, data: bytes) -> bytes:
    """Anywhere but in the numbers of the pid and of the clock."""
    header = data.index(b"\n")
    spared = range(data.index(b'"pid":') + 6, data.index(b',"every"'))
    place = spared.start
    while place in spared:
        place = generator.randrange(generator.choice((header, len(data))))
    return flipped(data, place, 1 << generator.randrange(8))


def one_line(generator: random.Random, data: bytes) -> bytes:
    """A line dropped, doubled, or moved to the next one's place; the last line says so many events."""
    *lines, last = data.splitlines(keepends=True)
    place = generator.randrange(1, len(lines) - 1)
    what = generator.randrange(3)
    lines[place : place + 2] = [lines[place : place + 1], [lines[place]] * 2 + [lines[place + 1]], None][
        what
    ] or [
        lines[place + 1],
        lines[place],
    ]
    events = sum(1 for line in lines if line.startswith(b'{"e":'))
    return (
        b"".join(lines)
        + json.dumps(json.loads(last) | {"events": events}, separators=(",", ":")).encode()
        + b"\n"
    )


def test_honest_reruns_are_always_identical(record, blobs, trace_of):
    generator = random.Random(4)
    again: RunRecord | None = None
    for number in range(HONEST_PAIRS):
        if not number % 20:  # making records takes longer than comparing them
            fields = some_record(generator, blobs)
            original, again = (
                record(**fields),
                record(id="b" * 16, rerun_of="a" * 16, box="elsewhere", **fields),
            )
        pid = generator.randrange(2, 1 << 22)
        trace = blobs.traced(trace_of(pid=pid, began=generator.randrange(1 << 60)))
        rerun = again.model_copy(
            update={
                "traces": (trace,),
                "readbacks": (again.readbacks[0].model_copy(update={"pid": pid}),),
                "seconds": generator.random() * 1e6,
                "notes": (f"rerun after {number} s",),
                "log": None if number % 3 else again.log,
                "started_at": generator.choice([None, again.created_at]),
                "fingerprint": generator.choice([None, again.fingerprint]),
                "attempt": number,
            }
        )
        verdict = compare(original, rerun, blobs.open)
        assert verdict.outcome is Outcome.IDENTICAL, verdict
        del blobs.held[trace.digest]


@pytest.mark.parametrize("field", sorted(DOES_NOT_MATTER - {"id"}))
def test_what_does_not_matter_does_not(record, blobs, field):
    generator = random.Random(5)
    for _ in range(20):
        original = record(**some_record(generator, blobs))
        changed = change(generator, original, field)
        if changed is not None:
            rerun = changed.model_copy(update={"id": "b" * 16})
            assert compare(original, rerun, blobs.open).outcome is Outcome.IDENTICAL


def some_record(generator: random.Random, blobs: Any) -> dict[str, Any]:
    """Random outputs, metrics and series; at least one output."""
    outputs = tuple(
        blobs.rejected(f"o{number}", generator.choice(["symlink", "fifo"]))
        if number and generator.random() < 0.2
        else blobs.kept(f"o{number}", generator.randbytes(generator.randrange(40)))
        for number in range(generator.randrange(1, 5))
    )
    numbers = [0.0, -1.5, 1e-300, float("nan"), float("inf"), generator.random()]
    return {
        "outputs": outputs,
        "metrics": {f"m{number}": generator.choice(numbers) for number in range(generator.randrange(1, 4))},
        "series": tuple(
            {
                "name": f"s{number % 2}",
                "step": generator.choice([None, number]),
                "value": generator.choice(numbers),
            }
            for number in range(generator.randrange(1, 6))
        ),
    }


def change(generator: random.Random, record: RunRecord, field: str) -> RunRecord | None:
    """With one leaf below `field` changed, one entry dropped or doubled; None if that changed nothing."""
    for _ in range(20):
        before = record.model_dump(mode="python")
        spot = generator.choice(list(places(before[field], (field,))))
        after = record.model_dump(mode="python")
        alter(generator, after, spot)
        try:
            changed = RunRecord.model_validate(after)
        except ValueError:
            continue
        if repr(getattr(changed, field)) != repr(getattr(record, field)):
            if field == "base" and changed.base.model_copy(update={"name": record.base.name}) == record.base:
                continue  # only its name: a label
            if field == "traces" and but_pids(changed) == but_pids(record):
                continue
            if field == "readbacks" and traced(changed) == traced(record):
                continue
            if field == "outputs" and only_the_size_of_a_rejected(record, changed):
                continue
            return changed
    return None


def but_pids(run: RunRecord) -> list[Any]:
    return [file.model_copy(update={"pid": 0}) for file in run.traces]


def traced(run: RunRecord) -> set[Any]:
    """Whether processes had torch, and what they said last of their trace."""
    said = [(one.start or {}, one.end if one.end is not None else one.start or {}) for one in run.readbacks]
    return {("torch.version" in start | end, end.get("trace")) for start, end in said}


def only_the_size_of_a_rejected(a: RunRecord, b: RunRecord) -> bool:
    """What a rejected entry has no bytes for: not compared."""

    def known(run: RunRecord) -> list[Any]:
        return sorted(
            (o.path, o.status, o.digest, o.size) if o.status == "kept" else (o.path, o.status, o.reason or "")
            for o in run.outputs
        )

    return known(a) == known(b)


def places(value: Any, path: tuple[Any, ...]) -> Any:
    yield path
    items: Any = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else ()
    )
    for key, inner in items:
        yield from places(inner, (*path, key))


def alter(generator: random.Random, root: dict[str, Any], spot: tuple[Any, ...]) -> None:
    """Change what is at `spot`: the path's tuples become lists on the way."""
    parent: Any = root
    for key in spot[:-1]:
        if isinstance(parent[key], tuple):
            parent[key] = list(parent[key])
        parent = parent[key]
    key, value = spot[-1], parent[spot[-1]]
    if len(spot) > 1 and generator.random() < 0.2:
        if isinstance(parent, list) and generator.random() < 0.5:
            parent.append(parent[generator.randrange(len(parent))])
        else:
            del parent[key]
    else:
        parent[key] = another(generator, value)


def another(generator: random.Random, value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, Digest):
        return Digest.of(generator.randbytes(8))
    if isinstance(value, int | float):
        return generator.choice([value + 1, -value, 0, 1, float("nan"), None])
    if isinstance(value, str):
        words = ["failed", "lost", "cancelled", "running", "job", "rejected", "kept", "strict", "off", "warn"]
        return generator.choice([value + "x", value[:-1], *words])
    if isinstance(value, dict):
        return {**value, f"new{generator.randrange(9)}": generator.choice(["1", 1.0])}
    if isinstance(value, list | tuple):
        return list(value)[1:]
    return generator.choice([1, "x", True, json.loads("null"), "job", "2026-01-01T00:00:00Z"])
