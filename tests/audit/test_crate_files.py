"""The files of a crate, as they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.failing_disk import Torn

from orchestrator.audit.exports.crate.crate_files import CrateFile, Role, write_files
from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.launch.watch import Silent


@pytest.mark.parametrize("target", ["crate", "crate.zip"])
def test_what_cannot_be_read_is_named_and_not_the_crate(tmp_path: Path, target: str) -> None:
    digest = Digest.of(bytes(1000))
    part = CrateFile("inputs/data", Role.INPUT, "data", digest, 1000, lambda: Torn(bytes(1000)))
    with pytest.raises(StoreError, match="input data cannot be read: Input/output error"):
        write_files(tmp_path / target, [part], force=False, watch=Silent())
    assert list(tmp_path.iterdir()) == []
