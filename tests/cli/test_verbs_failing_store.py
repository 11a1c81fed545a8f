"""A store whose disk gives errors in place of bytes: each verb says which blob, and none calls it a bug."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.failing_disk import fail_to_read_blobs
from support.records import finish_run, new_run, stored_output

from orchestrator.launch.session import Session
from orchestrator.run.attempt_model import Log
from orchestrator.spec.source.source_tree import GitState

DIGEST = "sha256:[0-9a-f]{64}"
RUN, RERUN = "aaaa000000000001", "bbbb000000000002"
LOG, PATCH = b"epoch 1\n", b"--- a/x\n+++ b/x\n"


@pytest.fixture
def failing(
    session: Session, reprise: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run, its rerun and named data, whose blobs are opened and then cannot be read."""
    log, patch = session.store.put_bytes(LOG), session.store.put_bytes(PATCH)
    git = GitState(commit="c" * 40, dirty=True, patch_digest=patch)
    for run, model in ((RUN, b"weights"), (RERUN, b"others!")):
        outputs = (stored_output(session.store, "model.pt", model),)
        new = new_run(id=run, git=git, rerun_of=RUN if run == RERUN else None)
        finish_run(session.record, new, outputs=outputs, log=Log(digest=log, size=len(LOG), truncated=False))
    (tmp_path / "data").write_text("one")
    assert reprise("data", "add", str(tmp_path / "data")).code == 0

    fail_to_read_blobs(monkeypatch)


@pytest.mark.parametrize(
    "words",
    [
        ("logs", RUN),
        ("logs", RUN, "--tail", "1"),
        ("logs", RUN, "--json"),
        ("show", RUN, "--patch"),
        ("show", RUN, "--patch", "--raw"),
        ("outputs", RUN, "--to", "{folder}/to"),
        ("data", "get", "data", "{folder}/to"),
        ("export", RUN, "{folder}/to", "--format", "ro-crate"),
        ("export", RUN, "{folder}/to.zip", "--format", "ro-crate"),
        ("ledger", "export", "{folder}/to", "--blobs"),
        ("audit", "--only", "blobs"),
    ],
    ids=" ".join,
)
def test_a_blob_that_cannot_be_read_is_named(
    failing: None, reprise: Callable[..., Any], home: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    ran = reprise(*(word.replace("{folder}", str(tmp_path)) for word in words))
    said = ran.out + ran.err
    assert ran.code == 5 and re.search(f"blob {DIGEST} cannot be read: Input/output error", said), said
    assert list(home.glob("crash-*")) == []


def test_a_comparison_says_why_it_knows_less(failing: None, reprise: Callable[..., Any]) -> None:
    ran = reprise("compare", RUN, RERUN)
    assert ran.code == 3 and re.search(f"blob {DIGEST} cannot be read: Input/output error", ran.out), ran
