"""explain: a verdict in lines that a person reads in ten seconds."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.record.model import RunRecord
from orchestrator.verdict.difference import Cell, hardware_bits
from orchestrator.verdict.flags import main_readback
from orchestrator.verdict.grounds import unequal_names
from orchestrator.verdict.model import FileDifference, Outcome, Verdict
from orchestrator.verdict.tolerance import same_bits
from orchestrator.verdict.wording import beside, count, listed, number

FILES_SHOWN = 10
METRICS_SHOWN = 12
FIELDS_SHOWN = 5


def explain(verdict: Verdict, original: RunRecord, rerun: RunRecord) -> list[str]:
    """Plain lines, the verdict's own sentence first (without its word), details indented by two spaces."""
    lines = [verdict.summary.removeprefix(f"{verdict.outcome.value.replace('_', ' ')}: ")]
    compared = verdict.outcome not in (Outcome.FAILED, Outcome.NOT_COMPARABLE)
    if compared:
        metrics = count(len(_metric_names(original, rerun)), "metric")
        lines.append(
            f"compared: {count(verdict.compared, 'output')} and {metrics} of both runs; never the log"
        )
        lines += _files(verdict.files)
        lines += _metrics(verdict, original, rerun)
    lines += _hardware(original, rerun)
    lines += _flags(verdict, original, rerun)
    lines += [f"note: {note}" for note in verdict.notes]
    return lines


def _files(files: tuple[FileDifference, ...]) -> Iterator[str]:
    if files:
        yield f"{count(len(files), 'output')} not the same:"
    for difference in files[:FILES_SHOWN]:
        facts = []
        if difference.first_byte is not None:
            facts.append(f"from byte {difference.first_byte:,}")
        if difference.note:
            facts.append(difference.note)
        yield f"  {difference.path}: {', '.join(facts)}"
    if len(files) > FILES_SHOWN:
        yield f"  and {len(files) - FILES_SHOWN:,} more"


def _metric_names(original: RunRecord, rerun: RunRecord) -> list[str]:
    return sorted(original.metrics.keys() | rerun.metrics.keys())


def _metrics(verdict: Verdict, original: RunRecord, rerun: RunRecord) -> Iterator[str]:
    """Beside each other, those that differ first."""
    names = _metric_names(original, rerun)
    if names or verdict.metrics:
        yield "metrics, original vs rerun:"
    differing = {difference.name for difference in verdict.metrics}
    shown = [
        f"  {item.name}: {beside(item.original, item.rerun)}{_delta(item.original, item.rerun)}"
        f"{', within tolerance' if item.within else ''}"
        for item in verdict.metrics
    ]
    for name in names:
        a, b = original.metrics.get(name), rerun.metrics.get(name)
        if name not in differing and a is not None and b is not None and same_bits(a, b):
            shown.append(f"  {name}: {number(a)}, equal")
    yield from shown[:METRICS_SHOWN]
    if len(shown) > METRICS_SHOWN:
        yield f"  and {len(shown) - METRICS_SHOWN:,} more"


def _delta(a: float | None, b: float | None) -> str:
    return f" ({b - a:+.3g})" if a is not None and b is not None else ""


def _hardware(original: RunRecord, rerun: RunRecord) -> Iterator[str]:
    missing = [name for name, run in (("original", original), ("rerun", rerun)) if run.fingerprint is None]
    if original.fingerprint is None or rerun.fingerprint is None:
        yield f"hardware: not known for the {' and the '.join(missing)}"
        return
    if original.fingerprint.bit_digest == rerun.fingerprint.bit_digest:
        same_box = original.box is not None and original.box == rerun.box
        yield f"hardware: the same {'box' if same_box else 'class'}, so equal bits are expected"
        return
    a, b = hardware_bits(original), hardware_bits(rerun)
    fields = [f"{name} ({_cell(a, name)} vs {_cell(b, name)})" for name in unequal_names(a, b)]
    yield f"hardware: another class, so equal bits are not promised: {listed(fields, FIELDS_SHOWN)}"


def _cell(fields: dict[str, Cell], name: str) -> str:
    return str(fields[name]) if name in fields else "absent"


def _flags(verdict: Verdict, original: RunRecord, rerun: RunRecord) -> Iterator[str]:
    if verdict.flags_changed:
        yield "the script changed flags that Reprise had set or seen:"
        for name, moves in verdict.flags_changed.items():
            yield f"  {name}: {moves}"
    for name, run in (("original", original), ("rerun", rerun)):
        readback = main_readback(run)
        if readback is None:
            yield f"flags: no Python process of the {name} reported any"
        elif readback.end is None:
            yield f"flags: the main process of the {name} left a report at its start only"
