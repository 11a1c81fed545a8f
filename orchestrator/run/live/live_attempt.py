"""Tails what an attempt writes on this box: its metrics and its traces. The job is a stranger here, too."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.run.collect.job_files import parse_json
from orchestrator.run.collect.trace_files import MAX_SIZE, TRACE_NAME
from orchestrator.run.collect.trace_line import LONGEST_LINE
from orchestrator.run.collect.walk_tree import report_names
from orchestrator.run.live.growing_file import GrowingFile
from orchestrator.run.live.growing_trace import GrowingTrace, Original
from orchestrator.run.live.live_state import LiveSeries, LiveState, LiveTrace, LiveUse
from orchestrator.run.live.reduce_points import GrowingSeries
from orchestrator.run.metrics.read_metrics import MAX_LINE, MAX_LINES_FILE, SERIES, one_line
from orchestrator.run.workspace import Folders

TRACES = 16  # processes that are followed
MOST_SERIES = 12  # that are shown
HELD = 200  # names that are held
MOST_LINE = 1 << 16  # bytes of a line of metrics


class LiveAttempt:
    """`look` reads what is new, and gives the whole state. One caller at a time."""

    def __init__(
        self,
        folders: Folders,
        metrics: str | None,
        original: Original | None = None,
        use: Callable[[], LiveUse | None] = lambda: None,
        start: Callable[[], float | None] = lambda: None,
    ) -> None:
        """`start`: when the job began, in seconds since 1970, once that is known."""
        named = (
            metrics if metrics is not None and metrics.endswith(".jsonl") and "*" not in metrics else SERIES
        )
        self._folders, self._original, self._use, self._start = folders, original, use, start
        self._metrics = GrowingFile(folders.workspace, named, MAX_LINES_FILE, MAX_LINE)
        self._series: dict[str, GrowingSeries] = {}
        self._more = 0
        self._traces: dict[str, tuple[GrowingFile, GrowingTrace]] = {}

    def look(self) -> LiveState:
        for line in self._metrics.more():
            self._point(line)
        self._read_traces()
        use, start = self._use(), self._start()
        shown = sorted(self._series)[:MOST_SERIES]
        series: list[LiveSeries] = [self._series[name].state(start) for name in shown]
        first = self._first_trace()
        if first is not None and first.losses.points:
            series.insert(0, first.losses.state())
        files = [("metrics", self._metrics), *((name, file) for name, (file, _) in self._traces.items())]
        unread = {trace.problem for _, trace in self._traces.values() if trace.problem}
        return LiveState(
            series=tuple(series),
            more_series=len(self._series) - len(shown) + self._more,
            trace=self._trace(),
            use=use,
            problems=(
                *(f"{name}: {file.problem}" for name, file in files if file.problem),
                *(f"the original's trace: {why}" for why in sorted(unread)),
            ),
        )

    def _point(self, line: bytes) -> None:
        """A line that cannot be read, or is long, is left to the end of the run."""
        if len(line) > MOST_LINE:
            return
        try:
            step, at, numbers = one_line(parse_json(line))
        except (ValueError, RecursionError, MemoryError):
            return
        for name, value in numbers:
            series = self._series.get(name)
            if series is None:
                if len(self._series) >= HELD:
                    self._more = 1  # at least
                    continue
                series = self._series[name] = GrowingSeries(name)
            series.add(step, value, at)

    def _read_traces(self) -> None:
        try:
            names, _ = report_names(self._folders.report, TRACE_NAME)
        except OSError:
            return
        for name in names[:TRACES]:
            if name not in self._traces:
                file = GrowingFile(self._folders.report, name, MAX_SIZE, LONGEST_LINE)
                self._traces[name] = file, GrowingTrace(self._original)
            file, trace = self._traces[name]
            trace.add(file.more())

    def _trace(self) -> LiveTrace | None:
        begun = [trace for _, trace in self._traces.values() if trace.rank is not None]
        shown = self._first_trace()
        if shown is None:
            return None
        return LiveTrace(
            processes=len(begun),
            steps=max(trace.steps for trace in begun),
            events=sum(trace.events for trace in begun),
            tensors=sum(trace.tensors for trace in begun),
            phase=shown.phase,
            ribbon=shown.ribbon(),
            compared=shown.compared,
        )

    def _first_trace(self) -> GrowingTrace | None:
        """The trace of the lowest rank that has begun, and of the lowest pid where it has several."""
        begun = [trace for _, trace in self._traces.values() if trace.rank is not None]
        return min(begun, key=lambda trace: trace.rank or 0, default=None)

    def close(self) -> None:
        self._metrics.close()
        for file, trace in self._traces.values():
            file.close()
            trace.close()
