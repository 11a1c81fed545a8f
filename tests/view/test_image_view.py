"""Layers of an image, for people."""

from __future__ import annotations

import pytest

from orchestrator.view.image_view import title_text


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("source, 1 files", "source, 1 file"),
        ("source, 11 files", "source, 11 files"),
        ("1 wheels", "1 wheel"),
        ("21 wheels", "21 wheels"),
        ("base 1/2", "base 1/2"),
        ("numpy-1 files-1-py3-none-any", "numpy-1 files-1-py3-none-any"),
    ],
)
def test_one_file_is_no_files(title: str, shown: str) -> None:
    assert title_text(title) == shown
