"""Columns of runs as data frames and Parquet files, by packages that the user has: none is needed here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.durable import writing
from orchestrator.errors import UsageError
from orchestrator.view.runs.run_columns import CellValue

Columns = Mapping[str, Sequence[CellValue]]


def to_pandas(columns: Columns) -> Any:
    """A pandas.DataFrame. UsageError where pandas is not installed."""
    return _installed("pandas").DataFrame({name: list(values) for name, values in columns.items()})


def to_polars(columns: Columns) -> Any:
    """A polars.DataFrame. UsageError where polars is not installed."""
    return _installed("polars").DataFrame({name: list(values) for name, values in columns.items()})


def write_parquet(columns: Columns, path: Path) -> None:
    """A whole file, or none. UsageError where pyarrow is not installed; OSError."""
    arrow, parquet = _installed("pyarrow"), _installed("pyarrow.parquet")
    with writing(path) as stream:
        parquet.write_table(arrow.table({name: list(values) for name, values in columns.items()}), stream)


def _installed(name: str) -> Any:
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"{package} is not installed beside Reprise",
            f"pip install {package}, into the environment of this command; --csv and --json need nothing",
        ) from error
