"""Tests that run PyTorch run inside the cpu base where this Python has none. Here is one, on any machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.programs import ran

from orchestrator.settings import Settings

REPO = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.engine


def test_a_test_of_pytorch_passes_inside_the_base(shared_base: Settings) -> None:
    words = ("--always", "-n", "0", "-q", "-k", "flags_off", "tests/payload/test_jobs.py")
    done = ran("scripts/test_in_base.sh", *words, cwd=REPO, env={**os.environ, "VENV": sys.prefix})
    assert "inside the cpu base (Python 3." in done.stdout
    assert "1 passed" in done.stdout
