"""`/`: the table of runs. Its address is its state: filter, order, columns, groups, place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from orchestrator.errors import UsageError
from orchestrator.record.history.filter_fields import PLAIN as SORTED_BY
from orchestrator.record.run_record import HistoryFilter, RunLine, is_run_id
from orchestrator.redaction import redact_known
from orchestrator.spec.jobfile.job_spec import Scalar
from orchestrator.spec.jobfile.placeholders import text_of
from orchestrator.view.dashboard.run_groups import differing_params, group_documents, grouped
from orchestrator.view.runs.history_view import Answer, history_csv, history_view
from orchestrator.view.runs.run_columns import (
    LOGGED,
    METRICS,
    PARAMS,
    cell_of,
    chosen_columns,
    columns_to_choose,
    heading_of,
    is_number,
    told_apart,
)
from orchestrator.web.answers import json_answer, link, page, session_of, wants_json
from orchestrator.web.printed_blocks import Cell, clean_cells
from orchestrator.web.printed_blocks import cell_of as printed_cell
from orchestrator.web.unchanged_parts import part_of_record

AT_ONCE, MOST = 50, 1_000  # runs or groups on a page; groups are made of the first MOST runs
SHOWN = 18  # columns, where nobody chose
LONGEST = 4_000  # characters of one value of the address
_KEPT = ("where", "sort", "tag", "job", "columns", "archived", "reruns", "group", "limit")


class TableQuestion(NamedTuple):
    """What the address asks for."""

    values: Mapping[str, str]  # of _KEPT, as they stand there
    after: str | None

    @classmethod
    def of(cls, request: Request) -> TableQuestion:
        asked = request.query_params
        values = {name: ",".join(asked.getlist(name)).strip()[:LONGEST] for name in _KEPT if asked.get(name)}
        return cls({name: text for name, text in values.items() if text}, asked.get("after") or None)

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    @property
    def grouping(self) -> bool:
        return self.get("group") == "seed"

    @property
    def limit(self) -> int:
        text = self.get("limit") or ""
        return min(max(int(text), 1), MOST) if text.isdecimal() and len(text) < 6 else AT_ONCE

    def filter(self) -> HistoryFilter:
        reruns = {"only": True, "without": False}.get(self.get("reruns") or "")
        return HistoryFilter(
            where=self.get("where"),
            sort=self.get("sort"),
            tag=self.get("tag"),
            job=self.get("job"),
            archived=self.get("archived") == "only",
            reruns=reruns,
            after=None if self.grouping else self.after,
            limit=MOST if self.grouping else self.limit,
        )

    def address(self, **changes: str | None) -> str:
        """The same table with these values in place of its own; None takes one out."""
        values = {**self.values, **changes}
        query = urlencode([(name, text) for name, text in values.items() if text])
        return f"/?{query}" if query else "/"


class Head(NamedTuple):
    text: str
    column: str
    right: bool = False
    link: str = ""  # sorts by this column, or turns its order round; empty where it cannot
    order: str = ""  # ascending or descending, where the table is in the order of this column


class TableRow(NamedTuple):
    run: str
    cells: Sequence[Cell]


def run_table(request: Request) -> Response:
    """The page, or of it the table alone, which an open tab asks for every few seconds."""
    if _is_part(request) and not request.query_params.get("format"):
        return part_of_record(request, _answer)
    return _answer(request)


def _is_part(request: Request) -> bool:
    return request.query_params.get("part") == "table"


def _answer(request: Request) -> Response:
    """A filter that cannot be read is told above an empty table, where it can be mended."""
    question, history = TableQuestion.of(request), session_of(request).record.history
    form = request.query_params.get("format")
    try:
        wanted = question.filter()
        found = history.page(wanted)
        sorted_by = None if wanted.sort is None else history.field(wanted.sort.removeprefix("-"))
        answer = Answer(wanted, found, sorted_by, () if found.lines else history.why_nothing(wanted))
        if form == "csv":
            return _csv(answer, question)
        if wants_json(request):
            return json_answer(_document(answer, question))
        values = _groups(answer, question) if question.grouping else _table(answer, question)
        status, wrong = 200, None
    except UsageError as error:
        if form:
            raise
        status, wrong, values = 400, error, {"kind": "nothing", "notes": []}
    part = _is_part(request)
    template = "run_rows.html" if part else "runs.html"
    more = {} if part else {"fields": history.fields()}
    return page(
        request,
        template,
        status,
        title="Runs",
        question=question,
        wrong=wrong,
        asked=wrong is None,
        **values,
        **more,
    )


def _document(answer: Answer, question: TableQuestion) -> Mapping[str, object]:
    if question.grouping:
        return {"groups": group_documents(grouped(answer.page.lines)), "more": answer.page.next is not None}
    return history_view(answer).document


def _csv(answer: Answer, question: TableQuestion) -> Response:
    text = redact_known(history_csv(answer, question.get("columns")))
    headers = {"Content-Disposition": 'attachment; filename="runs.csv"'}
    return Response(text.encode("utf-8", "replace"), media_type="text/csv; charset=utf-8", headers=headers)


def _table(answer: Answer, question: TableQuestion) -> dict[str, object]:
    runs = answer.page.lines
    columns, more = _columns(runs, question)
    heads = [_head(runs, columns, name, question) for name in columns]
    texts = [[cell_of(run, name) for name in columns] for run in runs]
    clean = iter(clean_cells([text for row in texts for text in row]))
    rows = [
        TableRow(run.id, [printed_cell(next(clean), head.column, head.right) for head in heads])
        for run in runs
    ]
    notes = list(answer.why_nothing)
    if more:
        notes.append(f"{more} more columns differ: choose them, or “all”, under Columns")
    if answer.page.left:
        notes.append("not every run could be looked at: narrow the filter")
    return {
        "kind": "runs",
        "heads": heads,
        "rows": rows,
        "next": answer.page.next,
        "notes": notes,
        "choices": [(name, name in columns) for name in columns_to_choose(runs)],
        "mattered": _mattered(runs, question),
    }


def _mattered(runs: Sequence[RunLine], question: TableQuestion) -> str:
    """What the page of importance is asked for these runs; empty where they are of several jobs."""
    jobs = {run.job for run in runs}
    if len(jobs) != 1 or not any(run.metrics for run in runs):
        return ""
    sort = (question.get("sort") or "").removeprefix("-")
    metric = sort.removeprefix(f"{METRICS}.") if sort.startswith(f"{METRICS}.") else ""
    values = {"job": jobs.pop(), "metric": metric, "where": question.get("where")}
    return urlencode({name: text for name, text in values.items() if text})


def _columns(runs: Sequence[RunLine], question: TableQuestion) -> tuple[list[str], int]:
    """Those that were chosen; else those that differ, the most important first, and how many are left out."""
    chosen = question.get("columns")
    if chosen is not None and runs:
        return list(dict.fromkeys(("run", *chosen_columns(chosen, runs)))), 0
    sort = (question.get("sort") or "").removeprefix("-")
    first = [sort] if sort in columns_to_choose(runs) else []
    told = told_apart(runs, first).columns if runs else ()
    return list(dict.fromkeys(("run", *told[:SHOWN]))), max(len(told) - SHOWN, 0)


def _head(runs: Sequence[RunLine], columns: Sequence[str], name: str, question: TableQuestion) -> Head:
    text, right = heading_of(name, columns), is_number(runs, name)
    if name not in SORTED_BY and not name.startswith((f"{PARAMS}.", f"{METRICS}.", f"{LOGGED}.")):
        return Head(text, name, right)
    sort = question.get("sort") or ""
    order = {name: "ascending", f"-{name}": "descending"}.get(sort, "")
    # The best is mostly wanted first, and it is mostly the greatest; the second press turns it round.
    turned = {"": f"-{name}", "descending": name, "ascending": None}[order]
    return Head(text, name, right, question.address(sort=turned), order)


def _groups(answer: Answer, question: TableQuestion) -> dict[str, object]:
    groups = grouped(answer.page.lines)
    shown = groups[: question.limit]
    params = differing_params(groups)
    metrics = sorted({name for group in groups for name in group.metrics})
    jobs = len({group.job for group in groups}) > 1
    heads = ["job"] * jobs + params
    texts = [
        [*([group.job] * jobs), *(_value(group.params.get(name)) for name in params)]
        + [group.metrics[name].text if name in group.metrics else "" for name in metrics]
        for group in shown
    ]
    clean = iter(clean_cells([text for row in texts for text in row]))
    rows = [[next(clean) for _ in row] for row in texts]
    notes = list(answer.why_nothing)
    cut = len(shown) < len(groups)
    if cut:
        notes.append(f"the first {len(shown):,} of {len(groups):,} groups")
    if answer.page.next is not None:
        notes.append(f"of the first {MOST:,} runs that fit; narrow the filter for the others")
    return {
        "kind": "groups",
        "heads": clean_cells(heads),
        "metrics": clean_cells(metrics),
        "groups": list(zip(shown, rows, strict=True)),
        "notes": notes,
        "next": None,
        "whole": question.address(limit=str(MOST)) if cut else None,
    }


def _value(value: Scalar | None) -> str:
    return "" if value is None else text_of(value)


def chosen_runs(request: Request) -> Response:
    """`/select?run=A&run=B`: what the table's form sends, without scripts, to the page that compares."""
    runs = request.query_params.getlist("run")
    known = [run for run in runs if is_run_id(run)]
    if not known:
        raise UsageError("no run is selected", "tick some rows of the table, then compare")
    return RedirectResponse(link(request, f"/compare?{urlencode({'runs': ','.join(known)})}"), 303)


routes = [Route("/", run_table), Route("/select", chosen_runs)]
