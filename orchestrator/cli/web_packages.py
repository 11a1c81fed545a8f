"""What the dashboard and a run's page need beside Reprise."""

from __future__ import annotations

import importlib.util

from orchestrator.errors import UsageError

_PACKAGES = ("jinja2", "starlette", "uvicorn")  # of the extra `web` in pyproject.toml


def need_web_packages(what: str) -> None:
    """UsageError where one of them is not installed. `what` needs them: `the dashboard`."""
    if any(importlib.util.find_spec(name) is None for name in _PACKAGES):
        raise UsageError(
            f"{what} needs packages that are not installed",
            "`make setup` in a checkout brings them; elsewhere pip install '/path/to/checkout[web]'",
        )
