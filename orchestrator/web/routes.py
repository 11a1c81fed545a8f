"""Every page of the dashboard: a module of pages/ for each, and a line here."""

from __future__ import annotations

from starlette.routing import BaseRoute

from orchestrator.web import static_files
from orchestrator.web.pages import (
    annotate_run,
    boxes_and_queue,
    compared_runs,
    file_digest,
    last_audit,
    live_run,
    metric_charts,
    metric_importance,
    reproduction,
    run_log,
    run_outputs,
    run_table,
    single_run,
)

routes: list[BaseRoute] = [
    *run_table.routes,
    *single_run.routes,
    *annotate_run.routes,
    *run_log.routes,
    *live_run.routes,
    *reproduction.routes,
    *run_outputs.routes,
    *metric_charts.routes,
    *compared_runs.routes,
    *metric_importance.routes,
    *file_digest.routes,
    *boxes_and_queue.routes,
    *last_audit.routes,
    *static_files.routes,
]

# What the navigation holds: path, name.
NAVIGATION = (
    ("/", "Runs"),
    ("/importance", "What mattered"),
    ("/origin", "Origin"),
    ("/boxes", "Boxes"),
    ("/audit", "Audit"),
)
