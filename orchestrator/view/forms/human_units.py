"""Sizes, times and numbers as people read them."""

from __future__ import annotations

import math
from datetime import datetime

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size_text(count: int) -> str:
    """Bytes -> `512 B`, `1.2 MiB`."""
    value = float(count)
    for unit in _UNITS:
        if value < 1023.95 or unit == _UNITS[-1]:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def span_text(seconds: float | None) -> str:
    """Seconds -> `0.42 s`, `12.3 s`, `2 min 05 s`, `1 h 02 min`, `3 d 04 h`."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def clock_text(seconds: float) -> str:
    """Seconds -> `0:12`, `1:02:03`: for a line that is redrawn, of steady width."""
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def moment_text(moment: datetime | None) -> str:
    """A UTC time in the reader's own zone: `2026-11-23 09:30:12`."""
    if moment is None:
        return "-"
    try:
        return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):  # beyond what calendars of zones reach
        return moment.isoformat(" ", "seconds")


def number_text(value: float) -> str:
    """A metric in six digits, for tables; where two are compared, use `repr`."""
    return f"{value:.6g}" if math.isfinite(value) else str(value)


def step_text(step: int | None) -> str:
    """` at step 1,200`; empty for a value without a step."""
    return "" if step is None else f" at step {step:,}"


def incomplete_text(count: int, of: str) -> str:
    """A warning about runs whose metrics are incomplete."""
    have = "has" if count == 1 else "have"
    return (
        f"{count:,} of {of} {have} metrics that could not all be read, so what is best may be another;"
        " `reprise show RUN` says what is missing"
    )
