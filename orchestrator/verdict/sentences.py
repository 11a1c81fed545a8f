"""The sentence that a verdict is stored with."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.message_wording import count
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import OutputStatus
from orchestrator.run.metrics.series import points_of
from orchestrator.verdict.outputs.compare_files import JudgedFile, Pair
from orchestrator.verdict.traces.compare_metrics import MetricsCompared
from orchestrator.verdict.verdict_model import Stopped, Traced, TraceDifference
from orchestrator.verdict.verdict_wording import beside


class Equal(NamedTuple):
    """Outputs that are the same: how many, of those not byte for byte, and under another path."""

    outputs: int
    by_content: int = 0
    renamed: int = 0


def equal_sentence(kept: Equal, metrics: int, traced: Traced | None) -> str:
    """`all 3 outputs are equal byte for byte, 2 equal metrics, 100 steps of training equal`."""
    parts = [_equal_outputs(kept)] if kept.outputs else []
    if metrics:
        parts.append(count(metrics, "equal metric"))
    if traced is not None:
        parts.append(f"{count(traced.steps, 'step')} of training equal ({count(traced.tensors, 'digest')})")
    return ", ".join(parts)


def _equal_outputs(kept: Equal) -> str:
    exact = kept.outputs - kept.by_content
    one = kept.outputs == 1
    text = "the one output is equal" if one else f"all {kept.outputs:,} outputs are equal"
    if not kept.by_content:
        text += " byte for byte"
    elif not exact:
        text += " by what it holds" if one else " by what they hold"
    else:
        held = "it holds" if kept.by_content == 1 else "they hold"
        text += f", {exact:,} byte for byte and {kept.by_content:,} by what {held}"
    if kept.renamed:
        text += f" ({'it has' if one else f'{kept.renamed:,} of them with'} another path in the rerun)"
    return text


def difference_sentence(
    first: TraceDifference | None, outputs: int, judged: list[JudgedFile], metrics: MetricsCompared
) -> str:
    """What differs: where training parted, how many outputs and which first, which metric."""
    parts = []
    if first is not None:
        parts.append(f"training differs from step {first.step:,} on ({first.phase.value})")
    if judged:
        parts.append(f"{len(judged):,} of {count(outputs, 'output')}")
        parts.append(f"first: {_where(next((item for item in judged if not item.excused), judged[0]))}")
    worst = next((item for item in metrics.differences if not item.within), None)
    shown = worst or next(iter(metrics.differences), None)
    if shown is not None:
        parts.append(f"{shown.name} {beside(shown.original, shown.rerun)}")
    if len(metrics.differences) > 1:
        parts[-1] += f" and {count(len(metrics.differences) - 1, 'more metric')}"
    return "; ".join(parts)


def stopped_sentence(stopped: Stopped) -> str:
    """`the rerun was stopped there after 3.2 s, where the original took 61.0 s: 57.8 s saved`."""
    if stopped.seconds is None or stopped.original is None or stopped.saved is None:
        return "the rerun was stopped there"
    return (
        f"the rerun was stopped there after {stopped.seconds:,.1f} s, where the original took"
        f" {stopped.original:,.1f} s: {stopped.saved:,.1f} s saved"
    )


def _where(item: JudgedFile) -> str:
    difference = item.difference
    if difference.first_byte is not None:
        return f"{difference.path} at byte {difference.first_byte:,}"
    return f"{difference.path} ({difference.note})"


def named_metrics(run: RunRecord) -> set[str]:
    return run.metrics.keys() | {name for name, _, _ in points_of(run.series)}


def both_kept(pair: Pair) -> bool:
    return all(output is not None and output.status is OutputStatus.KEPT for output in pair[1:])
