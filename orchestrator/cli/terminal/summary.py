"""What is said of a run, and of a verdict, when people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.cli.json_document import flags_changed
from orchestrator.cli.terminal import console
from orchestrator.cli.terminal.human_units import moment_text, number_text, size_text, span_text
from orchestrator.errors import ExitCode
from orchestrator.run.attempt_model import Failure, OutputStatus, State
from orchestrator.spec.jobfile.placeholders import text_of
from orchestrator.verdict.verdict_model import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.record.run_record import RunRecord, VerdictLine
    from orchestrator.run.attempt_model import Fingerprint, Output
    from orchestrator.spec.source.source_tree import GitState
    from orchestrator.verdict.verdict_model import Verdict

OUTPUTS_SHOWN = 20
BOX_SHOWN = 8  # hex digits of a box's id


def exit_code_of(run: RunRecord) -> ExitCode:
    """The exit code of a verb that waited for this run."""
    if run.state is State.SUCCEEDED:
        return ExitCode.OK
    if run.state is State.CANCELLED:
        return ExitCode.INTERRUPTED
    if run.state is State.LOST or run.failure is Failure.INFRASTRUCTURE:
        return ExitCode.INFRASTRUCTURE
    return ExitCode.JOB_FAILED


def exit_code_of_rerun(run: RunRecord, verdict: Verdict | None) -> ExitCode:
    """The verdict's code; where the rerun could not be judged, what became of the rerun."""
    if verdict is None or verdict.outcome is Outcome.FAILED:
        return exit_code_of(run) or (verdict.outcome.exit_code if verdict else ExitCode.OK)
    return verdict.outcome.exit_code


def print_run(run: RunRecord) -> None:
    console.fields(
        [
            ("run", run.id),
            ("job", run.job),
            ("about", run.description),
            ("state", _state(run)),
            ("image", run.image),
            ("base", f"{run.base.name}  {run.base.digest}"),
            ("rerun of", run.rerun_of or ""),
            ("imported", f"from the bundle {run.imported}; executed elsewhere" if run.imported else ""),
            ("attempt", str(run.attempt) if run.attempt > 1 else ""),
            (
                "time",
                f"{span_text(run.seconds)}  (started {moment_text(run.started_at)})"
                if run.started_at
                else "",
            ),
            ("submitted", f"{moment_text(run.created_at)} by {run.submitted_by}"),
            ("params", _params(run)),
            (
                "metrics",
                "  ".join(f"{name} {number_text(value)}" for name, value in sorted(run.metrics.items())),
            ),
            ("git", git_line(run.git)),
            ("submodules", submodules_line(run.git)),
            ("hardware", hardware_line(run.fingerprint)),
            ("box", " ".join(filter(None, (run.box_name, (run.box or "")[:BOX_SHOWN])))),
            ("packages", str(len(run.packages)) if run.packages else ""),
            ("trace", _trace(run)),
            ("log", _log(run)),
        ]
    )
    for name, (before, after) in flags_changed(run).items():
        console.line(
            f"warning: the script changed the determinism flag {name}: {before} -> {after}", console.ODD
        )
    if run.metrics_incomplete:
        console.line(f"warning: the metrics are incomplete: {run.metrics_incomplete}", console.ODD)
    if run.reports_missing:
        console.line("warning: the runtime left no report: not instrumented", console.ODD)
    for text in run.notes:
        console.line(f"note: {text}", console.ODD)
    print_outputs(run.outputs, limit=OUTPUTS_SHOWN)


def print_next(run: RunRecord) -> None:
    """What to type next."""
    commands = []
    if run.state is State.SUCCEEDED:
        commands.append(f"reprise rerun {run.image}")
        if any(output.status is OutputStatus.KEPT for output in run.outputs):
            commands.append(f"reprise outputs {run.id} --to FOLDER")
    elif not run.state.final:
        commands += [f"reprise logs -f {run.id}", f"reprise cancel {run.id}"]
    else:
        commands += [f"reprise logs {run.id}", f"reprise rerun {run.id}"]
    _print_commands(commands)


def _print_commands(commands: Sequence[str]) -> None:
    console.line()
    for number, command in enumerate(commands):
        console.line(("next:  " if number == 0 else "       ") + command, console.DIM)


def print_outputs(outputs: tuple[Output, ...], limit: int | None = None) -> None:
    if not outputs:
        return
    shown = outputs if limit is None else outputs[:limit]
    console.line()
    rows = [(item.path, size_text(item.size) if item.digest else "", _what(item)) for item in shown]
    console.table(("output", "size", "sha256"), rows, right=("size",))
    if len(shown) < len(outputs):
        rest = len(outputs) - len(shown)
        console.line(f"and {rest} more; `reprise outputs RUN` lists all", console.DIM)


def _what(item: Output) -> str:
    if item.digest is not None:
        return item.digest.short
    return f"-> {item.target}" if item.link is not None else f"rejected: {item.reason}"


def print_verdict_lines(run: RunRecord, verdicts: Sequence[VerdictLine]) -> None:
    """Verdicts that name this run, oldest first."""
    if not verdicts:
        return
    console.line()
    rows = []
    for item in verdicts:
        role, other = ("rerun of", item.original) if item.run == run.id else ("original of", item.run)
        where = (item.box or "-")[:BOX_SHOWN]
        when = moment_text(item.created_at)
        rows.append((item.outcome, role, other, first_difference(item.document), when, item.by, where))
    console.table(("verdict", "as", "run", "first difference", "when", "by", "box"), rows)


def first_difference(document: Mapping[str, Any]) -> str:
    """Of a stored verdict: `backward, step 3, fc.weight`, else the first file or metric; else nothing."""
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


def print_verdict(verdict: Verdict, explanation: list[str]) -> None:
    """The word, large and alone, then the reasons."""
    word = verdict.outcome.value
    console.line()
    console.line(word.upper().replace("_", " "), console.WORD_STYLES.get(word, console.BOLD))
    for text in explanation:
        console.line(f"  {text}")
    if verdict.outcome is not Outcome.IDENTICAL:
        _print_commands([f"reprise diff {verdict.original} {verdict.rerun}"])


def verdict_words(verdict: Verdict) -> str:
    """`not comparable`."""
    return verdict.outcome.value.replace("_", " ")


def explanation_of(verdict: Verdict | None, original: RunRecord | None, rerun: RunRecord) -> list[str]:
    """Why the verdict is what it is; nothing where there is none."""
    if verdict is None or original is None:
        return []
    from orchestrator.verdict.explain import explain

    return explain(verdict, original, rerun)


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
    parts.append(f"bit class {fingerprint.bit_digest.short}")
    return ", ".join(parts)


def _state(run: RunRecord) -> str:
    words = [run.state.value]
    if run.failure is not None:
        words.append(f"({run.failure.value})")
    if run.message and run.message != run.state.value:
        words.append(run.message)
    elif run.exit_code:
        words.append(f"exit code {run.exit_code}")
    return " ".join(words)


def _params(run: RunRecord) -> str:
    pairs = [f"{name}={text_of(value)}" for name, value in sorted(run.program.params.items())]
    return "  ".join([*pairs, f"seed={run.program.seed}"])


def _trace(run: RunRecord) -> str:
    """What was traced, by all processes together; nothing where the job trained nothing."""
    parts = []
    if run.traces:
        steps, events = (sum(getattr(trace, name) for trace in run.traces) for name in ("steps", "events"))
        size = size_text(sum(trace.size for trace in run.traces))
        several = f" in {len(run.traces)} processes" if len(run.traces) > 1 else ""
        parts.append(f"{steps:,} steps, {events:,} events, {size}{several}")
    parts += [f"BROKEN: {trace.broken}" for trace in run.traces if trace.broken]
    parts += ["incomplete" for trace in run.traces if not trace.complete and not trace.broken]
    return ", ".join(parts)


def _log(run: RunRecord) -> str:
    if run.log is None:
        return ""
    return size_text(run.log.size) + (" (truncated)" if run.log.truncated else "")
