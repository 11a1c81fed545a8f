"""A page as people read it away from a terminal, and what the tests of verdicts compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from verdict.conftest import blobs, box, original, record, rerun, tolerance  # noqa: F401

from orchestrator.cli.terminal.console import show
from orchestrator.view.forms.page import Block


@pytest.fixture
def read(capsys: pytest.CaptureFixture[str]) -> Callable[[Iterable[Block]], str]:
    def text_of(page: Iterable[Block]) -> str:
        capsys.readouterr()
        show(page)
        return capsys.readouterr().out

    return text_of
