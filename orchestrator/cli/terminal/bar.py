"""A progress bar for work of known length that takes longer than a moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

T = TypeVar("T")

PATIENCE = 1.0  # seconds without a bar


def with_bar(items: Iterable[T], length: int, label: str) -> Iterator[T]:
    """The items, with a bar on a terminal once they have taken more than a moment."""
    from orchestrator.cli.terminal.console import is_terminal

    if not is_terminal(sys.stderr):
        yield from items
        return
    began = time.monotonic()
    bar = None
    for done, item in enumerate(items):
        if bar is None and time.monotonic() - began > PATIENCE:
            bar = click.progressbar(length=length, label=label, file=sys.stderr)
            bar.update(done)
        if bar is not None:
            bar.update(1)
        yield item
    if bar is not None:
        bar.render_finish()
