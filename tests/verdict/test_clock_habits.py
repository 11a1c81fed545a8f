from __future__ import annotations

import gzip
from datetime import UTC, datetime

import pytest

from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.verdict_model import CauseKind, Outcome

FIRST, SECOND = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC), datetime(2026, 2, 1, 10, 0, 5, tzinfo=UTC)


@pytest.fixture
def note(blobs, record, rerun):
    def judge(left: bytes, right: bytes) -> str:
        times = {"started_at": SECOND.replace(second=0), "finished_at": SECOND.replace(second=9)}
        verdict = compare(
            record(outputs=(blobs.kept("log.txt", left),)),
            rerun(outputs=(blobs.kept("log.txt", right),), **times),
            blobs.open,
        )
        assert verdict.outcome is Outcome.DIFFERENT
        assert verdict.causes[0].kind is CauseKind.WRITING
        assert (verdict.files[0].note in verdict.causes[0].text) or not verdict.files[0].note
        return verdict.files[0].note

    return judge


FORMS = {
    "ISO": lambda moment: moment.isoformat(),
    "with a space": lambda moment: f"{moment:%Y-%m-%d %H:%M:%S}",
    "as a file name": lambda moment: f"{moment:%Y%m%d_%H%M%S}",
    "seconds": lambda moment: f"{moment.timestamp():.3f}",
    "milliseconds": lambda moment: f"{round(moment.timestamp() * 1000)}",
    "nanoseconds": lambda moment: f"{round(moment.timestamp())}000000000",
}


@pytest.mark.parametrize("name", FORMS)
def test_a_clock_is_named_where_both_files_hold_their_runs_time(note, name):
    left, right = (f"{'x' * 200} at {FORMS[name](moment)} done".encode() for moment in (FIRST, SECOND))
    assert note(left, right) == "the clock: 2026-01-01 00:00:05 vs 2026-02-01 10:00:05"


def test_the_clock_of_a_gzip_file(note):
    left, right = (gzip.compress(b"data", mtime=int(moment.timestamp())) for moment in (FIRST, SECOND))
    assert note(left, right) == "the clock: 2026-01-01 00:00:05 vs 2026-02-01 10:00:05"


NOT_PROVED = {
    "another year": (b"at 2020-01-01 00:00:05", b"at 2026-02-01 10:00:05"),
    "the same time": (b"at 2026-01-01 00:00:05", b"at 2026-01-01 00:00:06"),
    "elsewhere": (b"at 2026-01-01 00:00:05 saw 1", b"at 2026-01-01 00:00:05 saw 2"),
    "no month": (b"at 2026-21-01 00:00:05", b"at 2026-22-01 10:00:05"),
    "a number": (b"loss 1.234567", b"loss 1.234568"),
    "a large number": (b"9999999999", b"8999999999"),
}


@pytest.mark.parametrize("name", NOT_PROVED)
def test_what_is_no_clock_for_sure_is_not_called_one(note, name):
    assert note(*NOT_PROVED[name]) == ""
