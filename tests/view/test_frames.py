"""Columns as the real packages take them: `make acceptance` installs pandas, polars and pyarrow."""

from __future__ import annotations

import importlib
import math
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from support.examples import tries

from orchestrator.errors import UsageError
from orchestrator.view.forms import frames
from orchestrator.view.runs.run_columns import CellValue, as_one_type


@pytest.mark.parametrize("make", [frames.to_pandas, frames.to_polars])
def test_a_package_that_is_not_there_is_named(make, monkeypatch: pytest.MonkeyPatch) -> None:
    package = make.__name__.removeprefix("to_")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"{package} is not installed"):
        make({})


def test_no_file_is_left_where_pyarrow_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="pyarrow is not installed"):
        frames.write_parquet({"run": ["a"]}, tmp_path / "runs.parquet")
    assert not any(tmp_path.iterdir())


@pytest.fixture(scope="module")
def installed() -> None:
    folder = Path(sys.prefix) / "frames"
    if not folder.exists():
        pytest.fail(f"no {folder}: `make acceptance` makes it")
    sys.path.append(str(folder))  # what is imported already stays: numpy is in both
    for package in ("pandas", "polars", "pyarrow"):
        importlib.import_module(package)


MOMENTS = st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1))
CELLS = st.one_of(st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(), st.text(), MOMENTS)
COLUMNS = st.integers(0, 4).flatmap(
    lambda rows: st.dictionaries(
        st.text(max_size=8),
        st.lists(CELLS, min_size=rows, max_size=rows).map(as_one_type),
        min_size=1,
        max_size=4,
    )
)


def plain(value: object) -> object:
    """What the packages have for no value is None, and for NaN the text."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return value


@pytest.mark.acceptance
@pytest.mark.usefixtures("installed")
@given(columns=COLUMNS)
@settings(max_examples=tries(400))
def test_every_table_is_taken_as_it_is(columns: dict[str, list[CellValue]]) -> None:
    from pyarrow import parquet

    wanted = {name: [plain(value) for value in values] for name, values in columns.items()}
    polars = frames.to_polars(columns)
    assert {name: [plain(value) for value in polars[name].to_list()] for name in polars.columns} == wanted
    pandas = frames.to_pandas(columns)
    assert list(pandas.columns) == list(columns) and len(pandas) == len(next(iter(columns.values())))
    with tempfile.TemporaryDirectory() as folder:
        frames.write_parquet(columns, Path(folder) / "runs.parquet")
        read = parquet.read_table(Path(folder) / "runs.parquet").to_pydict()
    assert {name: [plain(value) for value in values] for name, values in read.items()} == wanted
