"""From a dead container to a Result that holds only what can be proved.

Success is an exit code of 0 that we or a trustworthy engine saw, no kill for memory, and outputs that are
stored. A hard reset of a machine was seen to leave "exited, 0" behind, so a restart in between makes the
run `lost`, whatever the engine says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path
from signal import Signals

from orchestrator.errors import EngineError, EngineMissingError
from orchestrator.image.image_model import REPORT, WORKSPACE
from orchestrator.run.attempt_model import Failure, Log, MetricPoint, Plan, Result, State
from orchestrator.run.collect.ending_hints import hint_of, last_line, log_end
from orchestrator.run.collect.operation_logs import VARIABLE, read_ops
from orchestrator.run.collect.output_files import BlobSink, Collected, collect_outputs
from orchestrator.run.collect.reports import read_reports
from orchestrator.run.collect.starting_source import StartingSource
from orchestrator.run.collect.trace_files import Traces, read_traces
from orchestrator.run.collect.uncaught_exceptions import Uncaught, read_uncaught
from orchestrator.run.collect.walk_tree import TooManyOutputsError
from orchestrator.run.container_log import read_log, spool_folder
from orchestrator.run.engine.engine import Engine
from orchestrator.run.engine.engine_info import EngineInfo
from orchestrator.run.follow import Ended
from orchestrator.run.hardware import Gpu, fingerprint
from orchestrator.run.metrics.event_metrics import with_event_metrics
from orchestrator.run.metrics.logged_params import LoggedParams, logged_params
from orchestrator.run.metrics.read_metrics import Metrics, read_metrics
from orchestrator.run.metrics.series import Series, points_of, timed_points
from orchestrator.run.permissions import closed_to_us, open_up
from orchestrator.settings import Settings
from orchestrator.spec.program import Program

UNKNOWN = 255  # the exit code that an engine shows where it was away and missed the real one
UNSURE = (
    "the engine reports no kill for memory, but on cgroup v2 it can miss one, and this machine's kernel could"
    " not rule it out: a child of the job may have been killed"
)
REFUSED = (
    "{} has no deterministic form under determinism.level strict; use another operation, or set the level to"
    " warn (its results may then differ between runs)"
)


def collect(
    engine: Engine,
    info: EngineInfo,
    settings: Settings,
    plan: Plan,
    program: Program,
    gpus: tuple[Gpu, ...],
    ended: Ended,
    sink: BlobSink,
) -> Result:
    """Everything that is known of an attempt. The caller makes the sink durable, then commits the result."""
    folders = {mount.target: mount.source for mount in plan.mounts}
    workspace, report = folders[WORKSPACE], folders[REPORT]
    closed = _opened(engine, plan, (workspace, report))
    reports, uncaught = read_reports(report), read_uncaught(report, network=plan.network != "none")
    traces = read_traces(report, sink)
    container, (log, lost) = ended.container, _log(engine, plan, ended, sink)
    state, failure, message = judge(ended, info)
    closed += unsure(ended, info, state)
    last_words = cache(partial(log_end, spool_folder(plan)))
    if failure is Failure.JOB and (hint := _hint(plan, uncaught, reports.refused, last_words)):
        message += f": {hint}"  # else the notes say what a process died of
    found, keep_all = Collected(), state is State.SUCCEEDED
    try:
        found = collect_outputs(
            workspace, program.outputs, plan.file_size, sink, reports.began, keep_all=keep_all
        )
    except TooManyOutputsError as error:
        if state is not State.CANCELLED:
            state, failure, message = State.FAILED, Failure.POLICY, error.message
    metrics, logged = _logged(workspace, program, reports.began, found)
    operations, gaps = read_ops(report, sink) if VARIABLE in plan.environment else ((), ())
    notes = (closed, lost, uncaught.notes, reports.notes, found.notes, logged.notes, traces.notes, gaps)
    return Result(
        state=state,
        failure=failure,
        message=message,
        last_line=None if state is State.SUCCEEDED else last_line(last_words()),
        exit_code=container.exit_code if container else None,
        oom_killed=_killed_for_memory(ended),
        started_at=container.started_at if container else None,
        finished_at=container.finished_at if container else None,
        seconds=_seconds(ended),
        outputs=found.outputs + operations,
        metrics=metrics.final,
        metrics_incomplete=metrics.incomplete,
        series=_with_losses(metrics, traces),
        logged=logged.params,
        traces=traces.files,
        packages=reports.packages,
        source=reports.source,
        readbacks=reports.readbacks,
        reports_missing=reports.missing,
        log=log,
        fingerprint=fingerprint(settings, gpus, info, reports.readbacks),
        notes=tuple(chain.from_iterable(notes)),
    )


def _logged(
    workspace: Path, program: Program, began: StartingSource, found: Collected
) -> tuple[Metrics, LoggedParams]:
    """The metrics, and the parameters that the script logged, with the notes on both."""
    metrics = read_metrics(workspace, program.metrics, began, found.written)
    metrics = with_event_metrics(metrics, workspace, found.outputs)
    logged = logged_params(workspace, program, found.written)
    return metrics, logged._replace(notes=[*metrics.notes, *logged.notes])


def _hint(plan: Plan, uncaught: Uncaught, refused: str | None, last_words: Callable[[], str]) -> str | None:
    """What the job lacks. Where it caught its exception, or is not Python, the end of its log says it."""
    if refused:
        return REFUSED.format(refused)
    if uncaught.notes:
        return uncaught.hint
    return hint_of(last_words(), network=plan.network != "none")


def _opened(engine: Engine, plan: Plan, folders: tuple[Path, ...]) -> list[str]:
    """Make the job's files readable (permissions.py). Returns notes on why they stay unreadable."""
    try:
        if closed_to_us(folders):
            open_up(engine, plan.image, folders, plan.labels)
    except EngineMissingError:
        raise
    except (EngineError, OSError) as error:
        return [f"files that this box's user may not read stayed closed: {error}"]
    return []


def _log(engine: Engine, plan: Plan, ended: Ended, sink: BlobSink) -> tuple[Log | None, list[str]]:
    """The log, or notes that say why it cannot be read. EngineMissingError: it can be read later."""
    if ended.container is None:
        return None, []
    try:
        return read_log(engine, plan, sink), []
    except EngineMissingError:
        raise
    except EngineError as error:
        return None, [f"the log could not be read: {error.message}"]


def judge(ended: Ended, info: EngineInfo) -> tuple[State, Failure | None, str]:
    """State, failure kind and the reason in one line. What is ambiguous is `lost`."""
    container = ended.container
    if container is None:
        return State.LOST, None, ended.message or "the container is gone"
    if ended.cause is State.CANCELLED:
        return State.CANCELLED, None, ended.message
    if isinstance(ended.cause, Failure):
        return State.FAILED, ended.cause, ended.message
    if not container.ended:
        return State.LOST, None, f"the container is {container.status}, neither running nor ended"
    if _killed_for_memory(ended):
        return State.FAILED, Failure.MEMORY, "a process of the job was killed for memory (resources.memory)"
    if ended.killed:
        return State.LOST, None, "the container was killed from outside: by hand, or by an engine going down"
    if container.error:
        return State.FAILED, Failure.INFRASTRUCTURE, f"the engine: {container.error}"
    if ended.engine_lost and container.exit_code == UNKNOWN:
        return State.LOST, None, "the engine was away when the job ended, and does not know how"
    if ended.engine_lost and not info.live_restore:
        return State.LOST, None, "the engine was restarted under the job, so its exit code proves nothing"
    if container.exit_code == 0:
        return State.SUCCEEDED, None, ""
    said = f"the command ended with exit code {_coded(container.exit_code)}"
    if container.exit_code == 128 + Signals.SIGKILL and _may_miss_kills(ended, info):
        said += ", by itself or for memory (resources.memory): on cgroup v2 an engine can miss that"
    return State.FAILED, Failure.JOB, said


def _killed_for_memory(ended: Ended) -> bool:
    return ended.memory_killed is True or (ended.container is not None and ended.container.oom_killed)


def _may_miss_kills(ended: Ended, info: EngineInfo) -> bool:
    """Whether only the word of an engine on cgroup v2 says that nothing was killed (memory_kills.py)."""
    return info.cgroup == "2" and ended.memory_killed is None


def unsure(ended: Ended, info: EngineInfo, state: State) -> list[str]:
    """A note where a success stands on the word of such an engine alone."""
    return [UNSURE] if state is State.SUCCEEDED and _may_miss_kills(ended, info) else []


def _coded(code: int | None) -> str:
    """The exit code in words. A shell reports a signal as 128 plus its number."""
    name = next((one.name for one in Signals if one.value <= 31 and code == 128 + one.value), None)
    if name == Signals.SIGPIPE.name:
        return f"{code}: as after {name}, a program wrote into a pipe whose reader had ended (`| head`)"
    return f"{code}" if name is None else f"{code}: as after {name}"


def _with_losses(metrics: Metrics, traces: Traces) -> Sequence[MetricPoint]:
    """The metrics and the traced losses as one series, which may hold a million points."""
    found = metrics.series
    if not traces.losses:
        return found
    if not isinstance(found, Series):
        found = Series(timed_points(found))
    for name, step, value in points_of(traces.losses):
        found.add(name, step, value)
    return found


def _seconds(ended: Ended) -> float | None:
    """The run time by the engine's clock, or by ours where the engine's clock was set meanwhile.

    What we measured begins before the start and ends after the end, so it must be longer.
    """
    container, watched = ended.container, ended.seconds
    if container is None or container.started_at is None or container.finished_at is None:
        return None
    seconds = (container.finished_at - container.started_at).total_seconds()
    if seconds < 0:
        return watched
    return seconds if watched is None else min(seconds, watched)
