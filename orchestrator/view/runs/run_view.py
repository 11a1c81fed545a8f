"""A run, as a document and as a page."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.message_wording import count, listed
from orchestrator.record.run_record import LoggedRun, RunAnnotations, RunRecord, VerdictLine
from orchestrator.run.attempt_model import Fingerprint, OutputStatus, State
from orchestrator.spec.jobfile.placeholders import SHELL, text_of
from orchestrator.spec.jobfile.problems import shorten
from orchestrator.spec.source.source_tree import GitState
from orchestrator.verdict.causes.readback_flags import OURS, UNWATCHED, last_flags
from orchestrator.view.forms.human_units import moment_text, number_text, size_text, span_text
from orchestrator.view.forms.page import Block, Fields, Table, Text, Tone, View, next_commands, warning
from orchestrator.view.runs.annotation_view import marks_document, marks_page
from orchestrator.view.runs.input_words import input_lines
from orchestrator.view.runs.outputs_view import outputs_page

OUTPUTS_SHOWN = 20
LOGGED_SHOWN = 12  # parameters that a script logged, of one file; --json lists all
LOGGED_VALUE = 40  # characters
BOX_SHOWN = 8  # hex digits of a box's id


def run_document(run: RunRecord, series: bool = False) -> dict[str, Any]:
    """Every field of a run except the bytes of its patch, with `flags_changed` from the read-backs.

    `series`: with all points of all metrics, which can be many. Values are as the run has them: of 100,000
    outputs a page shows 20, and `json_text` makes JSON of all where the document is printed.
    """
    left_out = {"git"} if series else {"git", "series"}
    document = {name: getattr(run, name) for name in type(run).model_fields if name not in left_out}
    git = run.git and {name: getattr(run.git, name) for name in GitState.model_fields if name != "patch"}
    return document | {"git": git, "flags_changed": moved_flags(run)}


def moved_flags(run: RunRecord) -> dict[str, tuple[Any, Any]]:
    """Determinism flags that the script itself moved: name -> value at its start, at its end."""
    changed: dict[str, tuple[Any, Any]] = {}
    for readback in run.readbacks:
        changed |= {name: move for name, move in readback.changed.items() if name not in OURS}
    return dict(sorted(changed.items()))


def run_view(run: RunRecord) -> View:
    """A run that has just ended, or was queued."""
    return View(run_document(run), (Text(), *run_page(run), next_page(run)), run.id)


def shown_run(
    run: RunRecord,
    marks: RunAnnotations,
    verdicts: Sequence[VerdictLine],
    *,
    series: bool = False,
    packages: bool = False,
    waiting: str = "",
    untrue: Collection[str] = (),
) -> View:
    """Everything that the record holds of a run. `waiting`: why it is still queued.

    `untrue`: inputs that are not what the run says they are, by this record.
    """

    def page() -> Iterator[Block]:
        yield from run_page(run, untrue)
        yield from marks_page(marks)
        if packages:
            yield Text()
            yield Table(("package", "version"), sorted(run.packages.items()))
        if waiting:
            yield Text(f"queued: {waiting}")
        yield from _verdict_lines(run, verdicts)
        yield next_page(run)

    known = {"verdicts": verdicts, "said": marks_document(marks), "untrue_origins": sorted(untrue)}
    return View(run_document(run, series) | known, page())


def run_page(run: RunRecord, untrue: Collection[str] = ()) -> Iterator[Block]:
    yield Fields(_fields(run, untrue))
    for name, (before, after) in moved_flags(run).items():
        yield warning(f"the script changed the determinism flag {name}: {before} -> {after}")
    if run.metrics_incomplete:
        yield warning(f"the metrics are incomplete: {run.metrics_incomplete}")
    if run.reports_missing:
        yield warning("the runtime left no report: not instrumented")
    if alone := [str(one.pid) for one in run.readbacks if last_flags(one).get(UNWATCHED)]:
        yield warning(
            f"process {listed(alone)} started Python without the variables REPRISE_*: it was not watched"
        )
    for text in run.notes:
        yield Text(f"note: {text}", Tone.ODD)
    yield from outputs_page(run.outputs, limit=OUTPUTS_SHOWN)


def _fields(run: RunRecord, untrue: Collection[str]) -> Iterator[tuple[str, str]]:
    metrics = (f"{name} {number_text(value)}" for name, value in sorted(run.metrics.items()))
    yield "run", run.id
    yield "job", run.job
    yield "about", run.description
    yield "state", _state(run)
    yield "image", run.image
    yield "base", f"{run.base.name}  {run.base.digest}"
    yield "rerun of", run.rerun_of or ""
    yield "imported", f"from the bundle {run.imported}; executed elsewhere" if run.imported else ""
    yield "attempt", str(run.attempt) if run.attempt > 1 else ""
    if run.started_at:
        yield "time", f"{span_text(run.seconds)}  (started {moment_text(run.started_at)})"
    yield "submitted", f"{moment_text(run.created_at)} by {run.submitted_by}"
    yield "command", shorten(command_text(run.program.command), 400)
    yield "params", f"{params_text(run.program.params)}  seed={run.program.seed}".strip()
    yield from logged_lines(run)
    yield from input_lines(run.program.inputs, run.input_origins, untrue)
    yield "settings", determinism_line(run)
    yield "metrics", "  ".join(metrics)
    yield "git", git_line(run.git)
    yield "submodules", submodules_line(run.git)
    yield "hardware", hardware_line(run.fingerprint)
    yield "box", " ".join(filter(None, (run.box_name, (run.box or "")[:BOX_SHOWN])))
    yield "packages", str(len(run.packages)) if run.packages else ""
    yield "trace", _trace(run)
    if run.log is not None:
        yield "log", size_text(run.log.size) + (" (truncated)" if run.log.truncated else "")


def logged_lines(run: RunRecord) -> Iterator[tuple[str, str]]:
    """Parameters that the script logged for its tracker, one line for each file that has some."""
    by_source: dict[str, list[str]] = {}
    for name, item in sorted(run.logged.items()):
        by_source.setdefault(item.source, []).append(f"{name}={shorten(text_of(item.value), LOGGED_VALUE)}")
    for source, pairs in sorted(by_source.items()):
        more = f"  and {len(pairs) - LOGGED_SHOWN} more" if len(pairs) > LOGGED_SHOWN else ""
        yield "logged", f"{'  '.join(pairs[:LOGGED_SHOWN])}{more}  ({source})"


def command_text(command: Sequence[str]) -> str:
    """As it stands in the job file: what a shell got as text, without the shell."""
    shell, text = tuple(command[:-1]), command[-1] if command else ""
    return text if shell == SHELL else shlex.join(command)


def no_log(run: LoggedRun) -> str:
    """Why a run's log shows nothing, in a sentence."""
    if run.state in (State.QUEUED, State.PREPARING):
        return f"run {run.id} is {run.state.value}: it has not begun"
    if not run.state.final or run.log is not None:
        return f"run {run.id} has printed nothing" + ("" if run.state.final else " yet")
    why = f": {run.message}" if run.message else ""
    return f"run {run.id} has no log: " + (f"it ended{why}" if run.started_at else f"it never began{why}")


def next_page(run: RunRecord) -> Text:
    if run.state is State.SUCCEEDED:
        commands = [f"reprise rerun {run.image}"]
        if any(output.status is OutputStatus.KEPT for output in run.outputs):
            commands.append(f"reprise outputs {run.id} --to FOLDER")
    elif not run.state.final:
        commands = [f"reprise logs -f {run.id}", f"reprise cancel {run.id}"]
    else:
        commands = [f"reprise logs {run.id}"] if run.log is not None else []
        commands.append(f"reprise rerun {run.id}")
    return next_commands(commands)


def _verdict_lines(run: RunRecord, verdicts: Sequence[VerdictLine]) -> Iterator[Block]:
    """Verdicts that name this run, oldest first."""
    if not verdicts:
        return
    rows = []
    for item in verdicts:
        role, other = ("rerun of", item.original) if item.run == run.id else ("original of", item.run)
        first, when = first_difference_text(item.document), moment_text(item.created_at)
        rows.append((item.outcome, role, other, first, when, item.by, (item.box or "-")[:BOX_SHOWN]))
    yield Text()
    yield Table(("verdict", "as", "run", "first difference", "when", "by", "box"), rows)


def first_difference_text(document: Mapping[str, Any]) -> str:
    """Where the runs of a stored verdict first differ: `backward, step 3, fc.weight`, a file or a metric."""
    first = document.get("first")
    if isinstance(first, dict):
        rank = f"rank {first['rank']}" if first.get("rank") else ""
        parts = (first.get("phase"), f"step {first.get('step')}", rank, first.get("tensor"))
        return ", ".join(str(part) for part in parts if part)
    for item in document.get("files") or ():
        byte = item.get("first_byte")
        return f"{item.get('path')}" + ("" if byte is None else f" at byte {byte:,}")
    for item in document.get("metrics") or ():
        return str(item.get("name"))
    return ""


def params_text(params: Mapping[str, Any]) -> str:
    return "  ".join(f"{name}={text_of(value)}" for name, value in sorted(params.items()))


def determinism_line(run: RunRecord) -> str:
    """`strict, 1 thread, portable CPU instructions, trace of all tensors at every step`."""
    asked = run.program.determinism
    threads = "1 thread" if asked.threads == 1 else f"{asked.threads} threads"
    cpu = "portable CPU instructions" if asked.portable_cpu else "this CPU's own instructions"
    every = "every step" if asked.trace.every == 1 else f"every {asked.trace.every} steps"
    tensors = asked.trace.tensors.value
    trace = "no trace" if tensors == "off" else f"trace of {tensors} tensors, {every}"
    return f"{asked.level.value}, {threads}, {cpu}, {trace}"


def git_line(git: GitState | None) -> str:
    if git is None:
        return ""
    where = f"{git.branch} " if git.branch else ""
    dirty = "  DIRTY (the changes are kept as a patch)" if git.dirty else ""
    return f"{where}{git.commit[:12]}{dirty}  {git.subject}".rstrip()


def submodules_line(git: GitState | None) -> str:
    inner = sorted(git.submodules.items()) if git is not None else []
    return "  ".join(f"{path} {commit[:12]}" for path, commit in inner)


def hardware_line(fingerprint: Fingerprint | None) -> str:
    """CPU and GPUs in one line; unknown parts are left out."""
    if fingerprint is None:
        return ""
    facts: dict[str, Any] = fingerprint.perf_class | fingerprint.bit_class
    parts = [str(facts[name]) for name in ("cpu_model", "cpu") if isinstance(facts.get(name), str)][:1]
    if facts.get("cores"):
        parts.append(f"{facts['cores']} cores")
    gpus = facts.get("gpus") or ()
    if isinstance(gpus, list | tuple):
        parts += [str(gpu.get("name", "GPU")) if isinstance(gpu, dict) else str(gpu) for gpu in gpus]
    return ", ".join([*parts, f"bit class {fingerprint.bit_digest.short}"])


def _state(run: RunRecord) -> str:
    state = run.state.value if run.failure is None else f"{run.state.value} ({run.failure.value})"
    why = run.message
    if why == run.state.value or not why:
        why = f"exit code {run.exit_code}" if run.exit_code else ""
    if why.startswith(state):  # "cancelled before it began"
        return why
    return f"{state}: {why}" if why else state


def _trace(run: RunRecord) -> str:
    """What was traced, by all processes together; empty where the job trained nothing."""
    parts = []
    if run.traces:
        told = [trace.told_steps for trace in run.traces if trace.told_steps is not None]
        parts += [count(sum(told), "step")] if told else []
        parts += [count(sum(trace.events for trace in run.traces), "event")]
        several = f" in {len(run.traces)} processes" if len(run.traces) > 1 else ""
        parts += [f"{size_text(sum(trace.size for trace in run.traces))}{several}"]
    parts += [f"BROKEN: {trace.broken}" for trace in run.traces if trace.broken]
    parts += ["incomplete" for trace in run.traces if not trace.complete and not trace.broken]
    return ", ".join(parts)
