"""One thing flipped at a time, outside the image where that can be: the verdict names phase, step and cause.

The table in docs/verdict.md says what was flipped and what was said; it is held to what happens here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.flipped_jobs import Originals, flip_world, flipped_job
from support.flips import FLIPS, Flip

from orchestrator.launch.judge.judge_rerun import verdict_of
from orchestrator.launch.session import Session
from orchestrator.launch.submit.build_image import BuildRequest
from orchestrator.launch.submit.rerun_run import RerunRequest, rerun
from orchestrator.launch.submit.submit_run import submit
from orchestrator.launch.watch import Silent
from orchestrator.record.run_record import RunRecord
from orchestrator.verdict.verdict_model import Verdict

pytestmark = pytest.mark.engine
PAGE = Path(__file__).resolve().parents[2] / "docs" / "verdict.md"
# What is read of each is also read of another flip; the gradient is that of test_stop_at_difference.
LIKE_ANOTHER = (
    "order of the data",
    "one byte of the input",
    "learning rate at step 4",
    "precision of matrix products: `medium`",
    "one bit of a weight before training",
    "one bit of a weight at step 3",
    "one gradient at step 2",
)
TRIED = [
    pytest.param(flip, id=flip.name, marks=[pytest.mark.acceptance] if flip.name in LIKE_ANOTHER else [])
    for flip in FLIPS
]


@pytest.fixture(scope="module")
def originals(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Originals:
    return Originals(session, tmp_path_factory.mktemp("original"))


def flipped(
    session: Session, flip: Flip, before: RunRecord, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Verdict:
    if flip.seed is not None or flip.data:
        request = BuildRequest(spec_path=flipped_job(folder / "flipped", flip), seed=flip.seed)
        return verdict_of(session, before, submit(session, request, Silent()), Silent())
    flip_world(monkeypatch, flip)
    _, verdict = rerun(session, RerunRequest(target=before.id), Silent())
    assert verdict is not None
    return verdict


def said(verdict: Verdict) -> tuple[str, str, str]:
    """Outcome, where, and the first cause: as the page's table has them."""
    first = verdict.first
    where = f"step {first.step}, {first.phase.value}" if first else "nowhere"
    if first and first.tensor:
        where += f": `{first.tensor}`"
    moved = "flags_changed" if verdict.flags_changed else "none"
    cause = verdict.causes[0].kind.value if verdict.causes else moved
    return verdict.outcome.value, where, cause


def table() -> dict[str, tuple[str, str, str]]:
    rows = re.findall(r"^\| (.+?) \| (\w+) \| (.+?) \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    return {name: (outcome, where, cause) for name, outcome, where, cause in rows}


@pytest.mark.parametrize("flip", TRIED)
def test_what_is_flipped_is_named(
    session: Session,
    originals: Originals,
    flip: Flip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = originals.of(flip)
    verdict = flipped(session, flip, before, tmp_path, monkeypatch)
    print(f"| {flip.name} | {' | '.join(said(verdict))} |", [cause.text for cause in verdict.causes])
    assert table().get(flip.name) == said(verdict), verdict.model_dump_json(indent=1)


def test_the_page_lists_every_flip() -> None:
    assert [name for name in table() if name in {flip.name for flip in FLIPS}] == [
        flip.name for flip in FLIPS
    ]
