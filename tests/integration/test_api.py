"""`api.submit` and `api.rerun` on a real engine: one run, shared by all tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import Box, small_job

from orchestrator import api
from orchestrator.errors import UsageError

pytestmark = pytest.mark.engine

SCRIPT = """
import json, os
words = open('/inputs/words').read()
open('words.txt', 'w').write(words)
json.dump({'score': len(words) * json.loads(os.environ['REPRISE_PARAMS'])['rate']}, open('metrics.json', 'w'))
print('done')
"""
EXTRA = "params: {rate: 0.1}\ninputs: {words: few.txt}"
WORDS = "one two three\n"


@pytest.fixture(scope="module")
def spec(small: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A job file; while it is used, this process is one of the small box."""
    here = tmp_path_factory.mktemp("api")
    spec = small_job(here / "job", SCRIPT, EXTRA)
    (spec.parent / "few.txt").write_text("one\n")
    (here / "more.txt").write_text(WORDS)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("REPRISE_DATABASE_URL", "REPRISE_STORE", "REPRISE_REGISTRY"):
            patch.delenv(name, raising=False)
        patch.setenv("REPRISE_HOME", str(small.settings.home))
        yield spec


@pytest.fixture(scope="module")
def done(spec: Path) -> api.Run:
    return api.submit(spec, params={"rate": 0.5}, seed=3, inputs={"words": spec.parents[1] / "more.txt"})


def test_a_submitted_job_is_a_run_when_the_call_returns(done: api.Run) -> None:
    assert (done.state, done.params, done.seed, done.log) == ("succeeded", {"rate": 0.5}, 3, "done\n")
    assert done.metrics == {"score": 7.0}
    with done.open("words.txt") as stream:
        assert stream.read().decode() == WORDS
    assert api.run(done.id).record == done.record == api.runs(where="params.rate == 0.5")[0].record


def test_what_ran_before_is_said_and_taken_where_it_is_asked_for(
    done: api.Run, spec: Path, caplog: pytest.LogCaptureFixture
) -> None:
    more = spec.parents[1] / "more.txt"
    with caplog.at_level(logging.WARNING, "reprise"):
        again = api.submit(str(spec), params={"rate": 0.5}, seed=3, inputs={"words": str(more)}, reuse=True)
    assert again == done and done.id in caplog.text


def test_a_rerun_is_judged_and_takes_an_input_from_an_earlier_run(done: api.Run) -> None:
    run, verdict = api.rerun(done, inputs={"words": f"run:{done.id}/words.txt"})
    assert verdict is not None and verdict.outcome == "identical"
    assert (run.rerun_of, run.image, run.metrics) == (done.id, done.image, done.metrics)
    assert run.record.input_origins["words"].run == done.id
    assert [line.outcome for line in done.verdicts] == ["identical"]


def test_an_input_with_other_bytes_is_an_error_that_says_so(done: api.Run, spec: Path) -> None:
    with pytest.raises(UsageError, match="input words") as caught:
        api.rerun(done.image, inputs={"words": spec.parent / "few.txt"})
    assert caught.value.__notes__ == [caught.value.hint]
