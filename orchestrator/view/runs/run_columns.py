"""Columns of a table of runs: their names, their values, and which of them tell the runs apart.

Terminal, web page, CSV and data frames show the same columns. A column is called as a filter calls the field:
`state`, `params.lr`, `metrics.loss` (the last value), `metrics.loss.min`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from orchestrator.errors import UsageError
from orchestrator.message_wording import did_you_mean
from orchestrator.record.history.filter_fields import Part
from orchestrator.record.run_record import RunLine
from orchestrator.run.attempt_model import Failure
from orchestrator.spec.jobfile.job_spec import Scalar
from orchestrator.spec.jobfile.placeholders import text_of
from orchestrator.view.forms.human_units import moment_text, number_text, span_text
from orchestrator.view.forms.json_form import jsonable
from orchestrator.view.runs.run_view import BOX_SHOWN

CellValue = bool | int | float | str | datetime | None
ALL, PARAMS, METRICS = "all", "params", "metrics"  # words for many columns at once
LOGGED = "logged"  # parameters that scripts logged: many, so that only who asks for them sees them
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the beginning of a formula
_PARTS = frozenset(part.value for part in Part)
_FITS = range(-(1 << 63), 1 << 63)


def reason_of(run: RunLine) -> str:
    """Why a run did not succeed: the last line of its log where the job failed, else what we know."""
    if run.failure is Failure.JOB and run.last_line:
        return run.last_line
    return run.message


def box_of(run: RunLine) -> str:
    return run.box_name or (run.box or "")[:BOX_SHOWN]


def verdict_word(run: RunLine) -> str:
    """What a rerun showed, or why it was made; empty for a run that is no rerun."""
    if run.verdict is not None:
        return run.verdict
    if run.operations_of_step is not None:
        return f"operations of step {run.operations_of_step}"
    return "rerun" if run.rerun_of else ""


# A text that is empty, and None, stand for a fact that the run does not have.
_PLAIN: dict[str, Callable[[RunLine], CellValue]] = {
    "run": lambda run: run.id,
    "job": lambda run: run.job,
    "alias": lambda run: ", ".join(run.names),
    "tags": lambda run: ", ".join(run.tags),
    "state": lambda run: run.state.value,
    "failure": lambda run: run.failure.value if run.failure else None,
    "imported": lambda run: run.imported and str(run.imported),
    "created": lambda run: run.created_at,
    "user": lambda run: run.submitted_by,
    "box": box_of,
    "seconds": lambda run: run.seconds,
    "seed": lambda run: run.seed,
    "incomplete": lambda run: run.metrics_incomplete,
    "verdict": verdict_word,
    "rerun_of": lambda run: run.rerun_of,
    "image": lambda run: str(run.image),
    "reason": reason_of,
}
PLAIN = tuple(_PLAIN)
_BEHIND = ("incomplete", "verdict", "rerun_of", "image", "reason")  # parameters and metrics first


def all_columns(runs: Iterable[RunLine]) -> tuple[str, ...]:
    """Every column that these runs have something for, in the order in which they are shown."""
    listed = list(runs)
    params = sorted({name for run in listed for name in run.params})
    metrics = sorted({name for run in listed for name in run.metrics})
    middle = [*(f"{PARAMS}.{name}" for name in params), *(f"{METRICS}.{name}" for name in metrics)]
    return (*(name for name in PLAIN if name not in _BEHIND), *middle, *_BEHIND)


def columns_to_choose(runs: Sequence[RunLine]) -> tuple[str, ...]:
    """Every column that can be asked for by name: also what scripts logged."""
    return (*all_columns(runs), *_logged_columns(runs))


def parameters_of(run: RunLine, word: str) -> dict[str, Scalar]:
    """The parameters of the job file (PARAMS), or those that the script logged (LOGGED)."""
    return run.params if word == PARAMS else run.logged


def _logged_columns(runs: Iterable[RunLine]) -> list[str]:
    return [f"{LOGGED}.{name}" for name in sorted({name for run in runs for name in run.logged})]


def chosen_columns(text: str, runs: Sequence[RunLine]) -> tuple[str, ...]:
    """The columns of `a,b,c`: names, or `params`, `metrics`, `all`. UsageError for an unknown one.

    Where there are no runs, every parameter and metric is known.
    """
    there, choice = all_columns(runs), columns_to_choose(runs)
    found: list[str] = []
    for word in (part.strip() for part in text.split(",")):
        if word == ALL:
            found += there
        elif word == LOGGED:
            found += _logged_columns(runs)
        elif word in (PARAMS, METRICS):
            found += [name for name in there if name.startswith(f"{word}.")]
        elif word in PLAIN or _is_known(word, runs):
            found.append(word)
        else:
            known = f"columns are {', '.join(PLAIN)}, {PARAMS}.NAME, {METRICS}.NAME, {LOGGED}.NAME, and all"
            raise UsageError(
                f"columns: no column is called {word!r}" if word else "columns: a name is missing",
                did_you_mean(word, [*choice, ALL, PARAMS, METRICS, LOGGED], known),
            )
    return tuple(dict.fromkeys(found))


def _is_known(word: str, runs: Sequence[RunLine]) -> bool:
    kind, dot, name = word.partition(".")
    if kind not in (PARAMS, METRICS, LOGGED) or not dot or not name:
        return False
    if not runs:
        return True
    if kind in (PARAMS, LOGGED):
        return any(name in parameters_of(run, kind) for run in runs)
    return any(_metric_of(run, name) is not None for run in runs)


def _metric_of(run: RunLine, name: str) -> tuple[str, Part] | None:
    """The metric and the part that a name stands for in this run: a metric's own name comes first."""
    if name in run.metrics:
        return name, Part.LAST
    stem, dot, end = name.rpartition(".")
    if dot and end in _PARTS and stem in run.metrics:
        return stem, Part(end)
    return None


def value_of(run: RunLine, column: str) -> CellValue:
    """What stands in a column, for programs. None where the run has nothing there."""
    plain = _PLAIN.get(column)
    if plain is not None:
        value = plain(run)
        return None if value == "" else value
    kind, _, name = column.partition(".")
    if kind in (PARAMS, LOGGED):
        return parameters_of(run, kind).get(name)
    found = _metric_of(run, name)
    if found is None:
        return None
    metric, part = found
    if part is Part.LAST:
        return run.metrics[metric]
    reached = run.reached.get(metric)
    part_value: float | None = None if reached is None else getattr(reached, part.value)
    return part_value


def cell_of(run: RunLine, column: str) -> str:
    """`value_of`, as people read it."""
    value = value_of(run, column)
    if column == "state" and run.failure:
        return f"{value} ({run.failure.value})"
    if column == "image":
        return run.image.short
    if column == "imported":  # the bundle's digest, for programs
        return "imported" if value else ""
    if column == "incomplete":
        return "INCOMPLETE" if value else ""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return moment_text(value)[:-3]
    if column == "seconds" and isinstance(value, float):
        return span_text(value)
    if isinstance(value, float) and not column.startswith((f"{PARAMS}.", f"{LOGGED}.")):
        return number_text(value)
    return text_of(value)


def heading_of(column: str, among: Sequence[str]) -> str:
    """`params.lr` as `lr`, where no other column has that heading."""
    name = column.partition(".")[2]
    if not name or name in PLAIN:
        return column
    alone = sum(other.partition(".")[2] == name for other in among) <= 1
    return name if alone else column


def is_number(runs: Sequence[RunLine], column: str) -> bool:
    """Whether a column holds numbers and nothing else: it is aligned to the right."""
    values = [value for run in runs if (value := value_of(run, column)) is not None]
    return bool(values) and all(isinstance(value, int | float) for value in values)


class ToldApart(NamedTuple):
    """What a table of runs shows, and what it need not show."""

    columns: tuple[str, ...]  # that differ, the most important first
    same: dict[str, str]  # column -> what stands there in every run; empty facts are left out


def told_apart(runs: Sequence[RunLine], first: Sequence[str] = ()) -> ToldApart:
    """The columns in which these runs differ; for one run, all that it has.

    `first`: columns that come right behind the run's id, whether they differ or not. A parameter in which
    runs of one job differ counts for more than one that another job does not have.
    """
    every = all_columns(runs)
    held = {name: [value_of(run, name) for run in runs] for name in every}
    there = [name for name in every if any(value is not None for value in held[name])]
    differing = {name for name in there if len(runs) == 1 or not _equal(held[name])}
    params = [name for name in there if name.startswith(f"{PARAMS}.") and name in differing]
    params.sort(key=lambda name: (not _differs_in_a_job(runs, held[name]), name))
    metrics = [name for name in there if name.startswith(f"{METRICS}.") and name in differing]
    order = ["run", *first, "alias", "tags", "state", "imported", "job", "incomplete", "verdict", *params[:2]]
    order += [*metrics[:2], "created", "reason", *params[2:], *metrics[2:], "seconds", "user", "box", "seed"]
    order += ["rerun_of", "image"]
    shown = [name for name in dict.fromkeys(order) if name in first or name in differing]
    same = {name: cell_of(runs[0], name) for name in there if name not in differing and name not in first}
    return ToldApart(tuple(shown), same)


def _equal(values: Sequence[CellValue]) -> bool:
    """Whether all are the same. NaN is the same as NaN, and 1 is not true."""
    return len({(type(value), repr(value)) for value in values}) <= 1


def _differs_in_a_job(runs: Sequence[RunLine], values: Sequence[CellValue]) -> bool:
    by_job: dict[str, list[CellValue]] = {}
    for run, value in zip(runs, values, strict=True):
        by_job.setdefault(run.job, []).append(value)
    return not all(_equal(held) for held in by_job.values())


def in_shown_order(columns: Iterable[str], runs: Sequence[RunLine], first: Sequence[str] = ()) -> list[str]:
    """Columns in the order in which a table shows them, whatever their importance."""
    places = {name: place for place, name in enumerate(["run", "job", *first, *all_columns(runs)][::-1])}
    return sorted(columns, key=lambda name: -places.get(name, 0))


def values_in_columns(runs: Sequence[RunLine], columns: Sequence[str]) -> dict[str, list[CellValue]]:
    """Column -> one value a run, of one type: what a file of columns or a data frame takes."""
    return {name: as_one_type([value_of(run, name) for run in runs]) for name in columns}


def as_one_type(values: list[CellValue]) -> list[CellValue]:
    """Integers and floats together become floats; other kinds together, and integers beyond 64 bits, text."""
    kinds = {type(value) for value in values if value is not None}
    fit = all(value in _FITS for value in values if type(value) is int)
    if len(kinds) <= 1 and fit:
        return values
    if kinds <= {int, float} and fit:
        return [None if value is None else float(value) for value in values]  # type: ignore[arg-type]
    return [None if value is None else exact_text(value) for value in values]


def exact_text(value: CellValue) -> str:
    """A value that a program reads back: numbers whole, moments in UTC; nothing is empty."""
    if value is None:
        return ""
    if isinstance(value, datetime) or (isinstance(value, float) and not math.isfinite(value)):
        return str(jsonable(value))
    return text_of(value)


def csv_text(columns: Mapping[str, Sequence[CellValue]]) -> str:
    """CSV with a line of names; line ends are Unix's. No text can be taken for a formula: a quote is put
    before it. A job chooses names and texts, and a spreadsheet would run `=HYPERLINK(…)`.
    """
    rows = [[_no_formula(name) for name in columns]]
    for row in zip(*columns.values(), strict=True):
        rows.append([_no_formula(one) if isinstance(one, str) else exact_text(one) for one in row])
    return "".join(map(_csv_line, rows))


def _csv_line(row: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(row)  # so that both are quoted inside a cell
    return out.getvalue().removesuffix("\r\n") + "\n"


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
