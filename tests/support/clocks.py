"""Clients whose clocks are wrong: by hours or days, each by its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from typing import Any
from unittest import mock

from hypothesis import strategies

OFF = strategies.integers(-10 * 86400, 10 * 86400)  # seconds


class _Kind(type):
    def __instancecheck__(cls, other: Any) -> bool:
        return isinstance(other, datetime)


@contextmanager
def clock_off(seconds: int) -> Iterator[None]:
    """Everything of ours that asks for the time of day inside is told it so many seconds off."""
    off = timedelta(seconds=seconds)

    class Wrong(datetime, metaclass=_Kind):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + off

    true = time.time
    with mock.patch("time.time", lambda: true() + seconds):
        patches = [
            mock.patch.object(module, "datetime", Wrong)
            for name, module in list(sys.modules.items())
            if name.startswith("orchestrator.") and getattr(module, "datetime", None) is datetime
        ]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()
