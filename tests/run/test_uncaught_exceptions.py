"""What processes died of: reports that a job can write as it likes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.run.collect.ending_hints import COMPILER, NETWORK
from orchestrator.run.collect.uncaught_exceptions import MAX_SHOWN, read_uncaught
from orchestrator.spec.shown_names import fits_a_line


def write(folder: Path, pid: int, **fields: Any) -> None:
    (folder / f"ended-{pid}.json").write_text(json.dumps(fields))


def test_equal_ends_are_one_note(tmp_path: Path) -> None:
    for pid in (7, 8, 9):
        write(tmp_path, pid, error="ValueError: no", at="train.py:3", argv=["python", "train.py"])
    write(tmp_path, 10, error="KeyError: 'x'")
    assert read_uncaught(tmp_path).notes == (
        "a Python process ended by an uncaught exception: ValueError: no at train.py:3 (python train.py)"
        " (3 times)",
        "a Python process ended by an uncaught exception: KeyError: 'x'",
    )


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (
            "InductorError: InvalidCxxCompiler: No working C++ compiler found in cpp.cxx: (None, 'g++')",
            1,
        ),
        ("RuntimeError: Failed to find C compiler. Please specify via CC environment variable", 1),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'g++'", 1),
        ("RuntimeError: /bin/sh: 1: c++: not found", 1),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'data.csv'", 0),
        ("RuntimeError: the compiler was not found", 0),
    ],
)
def test_a_base_without_a_compiler_is_told(tmp_path: Path, error: str, lacks: int) -> None:
    write(tmp_path, 1, error=error)
    found = read_uncaught(tmp_path)
    assert (found.hint, len(found.notes)) == (COMPILER if lacks else None, 1)


@pytest.mark.parametrize(
    "error",
    [
        "URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
        "OSError: [Errno 101] Network is unreachable",
        "OSError: We couldn't connect to the hub to load the files",
    ],
)
def test_a_job_without_a_network_is_told(tmp_path: Path, error: str) -> None:
    write(tmp_path, 1, error=error)
    assert read_uncaught(tmp_path, network=False).hint == NETWORK
    assert read_uncaught(tmp_path, network=True).hint is None


def test_a_job_that_writes_too_many_and_what_is_no_report(tmp_path: Path) -> None:
    for pid in range(100):
        write(tmp_path, pid, error=f"E{pid}")
    (tmp_path / "ended-0.json").write_bytes(b"x" * (1 << 20))
    (tmp_path / "ended-1.json").unlink()
    (tmp_path / "ended-1.json").symlink_to("/etc/passwd")
    (tmp_path / "ended-2.json").unlink()
    os.mkfifo(tmp_path / "ended-2.json")
    begun = time.monotonic()
    notes = read_uncaught(tmp_path).notes
    assert time.monotonic() - begun < 10  # it waits for no writer
    assert notes[0].endswith("its report cannot be read (3 times)")
    assert len(notes) == MAX_SHOWN + 1
    assert notes[-1] == "88 more Python processes ended by an uncaught exception"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(("error", "at", "argv")), inner),
        ).map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries(
            {"error": st.text(), "at": st.text(), "argv": st.lists(st.text(), max_size=5)}
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_whatever_stands_there_is_a_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "ended-1.json").write_bytes(data)
    found = read_uncaught(tmp_path)
    assert found.notes
    assert all(fits_a_line(note) and len(note) < 5000 for note in found.notes)
    found.model_dump_json()
