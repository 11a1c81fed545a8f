"""Hashing while copying stands in one place, and says exactly what passed by."""

from __future__ import annotations

import ast
import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import orchestrator
from orchestrator.digest import Digest, Hashed, checked_chunks, chunks_of

PACKAGE = Path(orchestrator.__path__[0])
# What hashes step by step and copies nothing: an upload or a fetch that goes on, rows, a record's file, the
# lines of a trace.
STEP_BY_STEP = {
    "spec/input_stamps.py",
    "digest.py",
    "image/registry/push.py",
    "launch/bundles/record_file.py",
    "launch/inputs/fetch_input.py",
    "record/ledger/row_evidence.py",
    "verdict/traces/trace_lines.py",
}


def test_only_one_place_hashes_while_it_copies() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        where = str(path.relative_to(PACKAGE))
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        if any(ast.unparse(call) in ("hashlib.sha256()", "sha256()") for call in calls):
            found.add(where)
    assert {where for where in found if not where.startswith("payload/")} == STEP_BY_STEP


@given(st.binary(max_size=100), st.integers(0, 120))
def test_what_passes_by_is_counted_and_hashed(data: bytes, most: int) -> None:
    passing = Hashed(chunks_of(io.BytesIO(data), most))
    out = io.BytesIO()
    out.writelines(passing)
    assert out.getvalue() == data[:most]
    assert passing.size == len(data[:most])
    assert passing.digest.hex == hashlib.sha256(data[:most]).hexdigest()


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_other_bytes_are_refused_at_their_end(data: bytes, other: bytes) -> None:
    assert b"".join(checked_chunks(io.BytesIO(data), Digest.of(data), len(data))) == data
    if other != data:
        with pytest.raises(ValueError, match="not the bytes"):
            list(checked_chunks(io.BytesIO(other), Digest.of(data), len(data)))
    with pytest.raises(ValueError, match="not the bytes"):
        list(checked_chunks(io.BytesIO(data), Digest.of(data), len(data) + 1))
