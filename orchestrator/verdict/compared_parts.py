"""Compares traces, metrics and outputs of two runs, and lists what is left out of the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from orchestrator.message_wording import listed
from orchestrator.record.run_record import RunRecord
from orchestrator.run.collect.trace_files import LOSS
from orchestrator.run.metrics.series import points_of
from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.verdict.causes.clock_habits import clock_note
from orchestrator.verdict.causes.rank_causes import Evidence
from orchestrator.verdict.causes.tolerance_advice import NO_MARKS, SuggestedMarks, marks
from orchestrator.verdict.outputs.compare_event_files import Excuses
from orchestrator.verdict.outputs.compare_files import (
    JudgedFile,
    OpenBlob,
    Pair,
    describe_difference,
    excuse_tensors,
    same_output,
    tolerance_glob,
)
from orchestrator.verdict.outputs.compare_metric_files import excuse_metrics
from orchestrator.verdict.outputs.exclusions import set_aside
from orchestrator.verdict.outputs.pairing import Paired, pair_runs
from orchestrator.verdict.outputs.torch_contents import judge_contents
from orchestrator.verdict.outputs.volatile_metrics import only_in_volatile_files
from orchestrator.verdict.sentences import both_kept, named_metrics
from orchestrator.verdict.traces.compare_metrics import MetricsCompared, compare_metrics
from orchestrator.verdict.traces.compare_traces import TracesCompared, compare_traces
from orchestrator.verdict.verdict_model import LeftOut, Renamed, TensorFinding

Contents = Mapping[str, TensorFinding]
"""Files of tensors that a container has compared, by path. Files that are not in it are compared here."""


@dataclass(frozen=True)
class Findings:
    """Everything that was compared."""

    pairs: list[Pair]
    judged: list[JudgedFile]
    metrics: MetricsCompared
    traces: TracesCompared
    left_out: tuple[LeftOut, ...] = ()
    by_content: int = 0  # outputs that are the same by what they hold, and not byte for byte
    aside: int = 0  # event files that were compared by what they hold, and are in none of the pairs
    renamed: tuple[Renamed, ...] = ()
    marks: SuggestedMarks = NO_MARKS

    @property
    def kept(self) -> int:
        """Outputs that were compared."""
        return sum(map(both_kept, self.pairs)) + self.aside

    @property
    def total(self) -> int:
        return len(self.pairs) + self.aside

    @property
    def outside(self) -> bool:
        """Whether a difference of outputs or metrics is excused by no tolerance."""
        return not (all(item.excused for item in self.judged) and self.metrics.within)

    @property
    def evidence(self) -> Evidence:
        blamed = [item for item in self.judged if not item.excused] or self.judged
        return Evidence(
            first=self.traces.first,
            traced=self.traces.traced,
            trace_equal=self.traces.equal,
            reordered=self.traces.reordered,
            unlike=self.traces.unlike,
            files=tuple(item.difference for item in blamed),
            metrics=self.metrics.differences,
            marks=self.marks,
        )

    def why_training_must_be_equal(self, original: RunRecord) -> str | None:
        """The reason that the spec gives; None where its tolerances let training differ.

        A tolerance for a file of tensors lets it differ. Tolerances for metrics do only where each metric
        that rounding may move has one: a tolerance for a time says nothing of training. A tolerance of 0
        asks for the same bits.
        """
        outputs = original.tolerance.outputs
        kept = [path for path, a, b in self.pairs if both_kept((path, a, b))]
        globs = {tolerance_glob(path, outputs) for path in kept} - {None}
        if any(outputs[str(glob)] != Tolerance() for glob in globs):
            return None
        tolerated = {name for name, one in original.tolerance.metrics.items() if one != Tolerance()}
        names = named_metrics(original) - self.metrics.left_out - {LOSS}
        if not names & tolerated:
            return "no tolerance is given for what training leaves"
        bare = sorted(names & _not_counts(original) - tolerated)
        return f"{listed(bare)} {'has' if len(bare) == 1 else 'have'} no tolerance" if bare else None


def _not_counts(run: RunRecord) -> set[str]:
    """Metrics with a value that is no integer: rounding may move them."""
    values = chain(run.metrics.items(), ((name, value) for name, _, value in points_of(run.series)))
    return {name for name, value in values if not value.is_integer()}


def find(original: RunRecord, rerun: RunRecord, open_blob: OpenBlob, contents: Contents) -> Findings:
    traces = compare_traces(original, rerun, open_blob)
    paired = pair_runs(original, rerun)
    of_volatile_files = only_in_volatile_files(original, rerun, paired.pairs, open_blob)
    losses = traces.first is None and not traces.one_of_several
    metrics = compare_metrics(original, rerun, losses=losses, volatile=of_volatile_files)
    excuses = Excuses(metrics.excusable if metrics.within else frozenset(), metrics.left_out)
    aside = set_aside(paired.pairs, original.tolerance.volatile, open_blob, excuses)
    left_out = [*aside.left_out, *_metrics_left_out(metrics, of_volatile_files), *_links(paired)]
    judged: list[JudgedFile] = list(aside.judged)
    by_content = aside.equal
    for pair in aside.pairs:
        if same_output(pair[1], pair[2]) or pair[0] in paired.links:
            continue
        found = _judge(pair, metrics, (original, rerun), open_blob, contents)
        if isinstance(found, LeftOut):
            left_out.append(found)
            by_content += 1
        else:
            judged.append(found)
    return Findings(
        pairs=aside.pairs,
        judged=sorted(judged, key=lambda item: item.difference.path),
        metrics=metrics,
        traces=traces,
        left_out=tuple(sorted(left_out, key=lambda item: item.path)),
        by_content=by_content,
        aside=aside.equal + len(aside.judged),
        renamed=paired.renamed,
        marks=marks(original, judged, metrics, open_blob, contents),
    )


def _metrics_left_out(metrics: MetricsCompared, of_volatile_files: frozenset[str]) -> list[LeftOut]:
    return [
        LeftOut(
            path=name,
            why=f"a metric {'of a file ' if name in of_volatile_files else ''}that is volatile in the spec,"
            " not compared",
        )
        for name in sorted(metrics.differing)
    ]


def _links(paired: Paired) -> list[LeftOut]:
    texts = {path: (a, b) for path, a, b in paired.pairs if path in paired.links and a and b}
    return [
        LeftOut(path=path, why=f"leads to {a.link} and to {b.link}: the same but for a moment or an id")
        for path, (a, b) in texts.items()
    ]


def _judge(
    pair: Pair,
    metrics: MetricsCompared,
    runs: tuple[RunRecord, RunRecord],
    open_blob: OpenBlob,
    contents: Contents,
) -> JudgedFile | LeftOut:
    original, rerun = runs
    difference = describe_difference(pair, open_blob)
    if difference.first_byte is None:
        return JudgedFile(difference, excused=False)
    excuse = excuse_metrics(difference, original, metrics, open_blob)
    if excuse.by_nature:
        return LeftOut(path=difference.path, why=excuse.note)
    excused, note = excuse.excused, excuse.note
    if not excused:
        finding = contents.get(difference.path)
        if finding is not None:
            excused, tensors = judge_contents(difference, finding, original.tolerance.outputs)
        else:
            excused, tensors = excuse_tensors(difference, original.tolerance.outputs, open_blob)
        note = tensors or note
    if not excused:
        note = note or clock_note(difference, original, rerun, open_blob)
    return JudgedFile(difference.model_copy(update={"note": note}), excused)
