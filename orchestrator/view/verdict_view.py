"""Verdicts: of a comparison, of a rerun, of a replay, and what to expect before one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.record.run_record import RunRecord
from orchestrator.verdict.predict_bits import Expected, Prediction
from orchestrator.verdict.verdict_model import Outcome, Verdict
from orchestrator.view.forms.json_form import jsonable
from orchestrator.view.forms.page import Block, Table, Text, Tone, View, next_commands, tone_of
from orchestrator.view.runs.run_view import next_page, run_document, run_page
from orchestrator.view.verdict_explanation import explain

if TYPE_CHECKING:
    from orchestrator.launch.judge.localise_difference import Localised
    from orchestrator.launch.judge.replay_rerun import Replayed

_EXPECTED = {
    Expected.BITWISE: Text("EQUAL BITS EXPECTED", Tone.GOOD),
    Expected.NOT_PROMISED: Text("EQUAL BITS NOT PROMISED", Tone.ODD),
    Expected.UNKNOWN: Text("NOT KNOWN", Tone.ODD),
}


def verdict_page(verdict: Verdict, original: RunRecord, rerun: RunRecord) -> Iterator[Block]:
    """The word, large and alone, then the reasons."""
    word = verdict.outcome.value
    yield Text()
    yield Text(word.upper().replace("_", " "), tone_of(word))
    yield from (Text(f"  {text}") for text in explain(verdict, original, rerun))
    if verdict.outcome is not Outcome.IDENTICAL and verdict.original != verdict.rerun:
        yield next_commands([f"reprise diff {verdict.original} {verdict.rerun}"])


def comparison_view(verdict: Verdict, original: RunRecord, rerun: RunRecord, recorded: bool) -> View:
    def page() -> Iterator[Block]:
        yield Text(f"original: {original.id} ({original.job})\nrerun:    {rerun.id} ({rerun.job})")
        yield from verdict_page(verdict, original, rerun)

    explanation = explain(verdict, original, rerun)
    document = {"verdict": verdict, "explanation": explanation, "recorded": recorded}
    return View(document, page(), verdict.outcome.value)


def verdicts_view(original: RunRecord, verdicts: Sequence[Verdict]) -> View:
    """Many runs, each beside the first."""
    rows = [(verdict.rerun, verdict.outcome.value, verdict.summary) for verdict in verdicts]

    def page() -> Iterator[Block]:
        yield Text(f"original: {original.id} ({original.job})\n")
        yield Table(("run", "verdict", "why"), rows)
        if any(verdict.outcome is not Outcome.IDENTICAL for verdict in verdicts):
            yield next_commands([f"reprise diff {' '.join([original.id, *(row[0] for row in rows)])}"])

    words = "\n".join(f"{run} {word}" for run, word, _ in rows)
    return View({"original": original.id, "verdicts": verdicts}, page(), words)


def rerun_view(run: RunRecord, original: RunRecord | None, verdict: Verdict | None) -> View:
    """A rerun; it has no verdict if there is nothing to compare it with."""

    def page() -> Iterator[Block]:
        yield Text()
        yield from run_page(run)
        if verdict is None or original is None:
            yield next_page(run)
        else:
            yield from verdict_page(verdict, original, run)

    explanation = explain(verdict, original, run) if verdict and original else []
    document = {"run": run_document(run), "verdict": verdict, "explanation": explanation}
    return View(document, page(), verdict.outcome.value if verdict else run.state.value)


def queued_rerun(run: RunRecord) -> View:
    """A rerun that another box will execute and judge."""
    document: dict[str, Any] = {"run": run_document(run), "verdict": None, "explanation": []}
    return View(document, (Text(run.id), next_page(run)), run.id)


def replay_view(found: Replayed, original: RunRecord | None) -> View:
    """A rerun, and the second one that says whether the script or the boxes made the difference."""
    judged = rerun_view(found.run, original, found.verdict)
    second, words = found.second, {}
    replay: dict[str, Any] = jsonable(found.conclusion) | {"second": None}
    if second is not None:
        against = {"against_original": second.against_original, "against_rerun": second.against_rerun}
        replay["second"] = {"run": run_document(second.run)} | against
        words = {name: verdict.outcome.value.replace("_", " ") for name, verdict in against.items()}

    def page() -> Iterator[Block]:
        yield from judged.page
        yield Text("\nREPLAY", Tone.STRONG)
        if second is not None:
            yield Text(
                f"  second run {second.run.id}: {words['against_original']} beside the original,"
                f" {words['against_rerun']} beside the rerun"
            )
        for text in (found.conclusion.summary, *found.conclusion.reasons):
            yield Text(f"  {text}")

    word = f"{judged.word} {found.conclusion.source.value}"
    return View({**judged.document, "replay": replay}, page(), word)


def twice_view(run: RunRecord, second: RunRecord | None, verdict: Verdict | None) -> View:
    """A run and its rerun. The page is that of the rerun: the run was shown when it ended."""
    if second is None:
        document: dict[str, Any] = {
            "run": run_document(run),
            "rerun": None,
            "verdict": None,
            "explanation": [],
        }
        return View(document, (next_page(run),), run.state.value)
    judged = rerun_view(second, run, verdict)
    document = {**judged.document, "run": run_document(run), "rerun": judged.document["run"]}
    return judged._replace(document=document)


def prediction_view(found: Prediction) -> View:
    def page() -> Iterator[Block]:
        yield _EXPECTED[found.expected]
        yield from (Text(f"  {text}") for text in (found.summary, *found.reasons))
        rows = [
            (name, *("-" if value is None else str(value) for value in pair), weight)
            for weight, fields in (("hard", found.fields), ("soft", found.soft))
            for name, pair in fields.items()
        ]
        if rows:
            yield Text()
            yield Table(("field", "there", "here", "reason"), rows)

    return View(jsonable(found), page(), found.expected.value)


def operations_view(found: Localised) -> View:
    """The first operation of two slow passes that gave other bytes."""

    def page() -> Iterator[Block]:
        yield Text(f"\n{found.conclusion.value.upper()}  {found.summary}")
        if found.passes:
            yield Text(f"  passes: {' '.join(found.passes)}")

    return View(jsonable(found), page(), found.difference.op if found.difference else found.conclusion.value)
