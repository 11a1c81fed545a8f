"""Runs as a sequence, which also is a table: for a notebook, pandas and polars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from orchestrator.api.notebook import table_html
from orchestrator.api.run_handle import Run
from orchestrator.record.history.filter_fields import Field
from orchestrator.record.run_record import HistoryFilter, HistoryPage
from orchestrator.settings import Settings
from orchestrator.view.forms import frames
from orchestrator.view.runs.history_view import Answer, shown_columns
from orchestrator.view.runs.run_columns import CellValue, all_columns, chosen_columns, values_in_columns

SHOWN = 50  # runs that a notebook shows
WIDE = 160  # characters of a line there


class Runs(Sequence[Run]):
    """Runs as they were when they were asked for."""

    def __init__(
        self, settings: Settings, wanted: HistoryFilter, page: HistoryPage, sorted_by: Field | None
    ) -> None:
        self._settings, self._wanted, self._sorted_by = settings, wanted, sorted_by
        self._lines = page.lines
        self.more = page.next is not None
        """Whether there are more runs than these: a higher limit gives them."""

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        if isinstance(index, slice):
            return Runs(self._settings, self._wanted, HistoryPage(lines=self._lines[index]), self._sorted_by)
        return Run(self._settings, self._lines[index])

    def __iter__(self) -> Iterator[Run]:
        return (Run(self._settings, line) for line in self._lines)

    def columns(self, names: str | Sequence[str] | None = None) -> dict[str, list[CellValue]]:
        """Column -> one value a run, as `history --columns` names them; None: every column.

        A column's values are of one type, or None. UsageError for an unknown name.
        """
        wanted = names if names is None or isinstance(names, str) else ",".join(names)
        chosen = all_columns(self._lines) if wanted is None else chosen_columns(wanted, self._lines)
        return values_in_columns(self._lines, chosen)

    def to_pandas(self, names: str | Sequence[str] | None = None) -> Any:
        """The same as a pandas.DataFrame. UsageError where pandas is not installed."""
        return frames.to_pandas(self.columns(names))

    def to_polars(self, names: str | Sequence[str] | None = None) -> Any:
        """The same as a polars.DataFrame. UsageError where polars is not installed."""
        return frames.to_polars(self.columns(names))

    def __repr__(self) -> str:
        return f"Runs({len(self)} runs{', and there are more' if self.more else ''})"

    def _repr_html_(self) -> str:
        """What differs among the first runs, as `reprise history` shows it."""
        page = HistoryPage(lines=self._lines[:SHOWN])
        shown = shown_columns(Answer(self._wanted, page, self._sorted_by, ()), None, WIDE)
        left = len(self) - len(page.lines)
        notes = [*shown.notes, *([f"and {left:,} more runs"] if left else [])]
        return table_html(shown.columns, shown.right, notes)
