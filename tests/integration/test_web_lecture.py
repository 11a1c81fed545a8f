"""The lecture's question asked of the dashboard: five people, a dozen models; who won, and is it so again?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page
from support.browser import *  # noqa: F403
from support.browser import axe
from support.records import BOX, NOON, digest_of, finish_run, new_run, stored_output
from support.web_fixtures import *  # noqa: F403
from support.web_fixtures import Site

from orchestrator.launch.session import Session
from orchestrator.run.attempt_model import Fingerprint, Readback
from orchestrator.spec.source.source_tree import GitState
from orchestrator.verdict.compare_runs import compare

PEOPLE = ("ada", "bob", "cyd", "dan", "eve")
RATES, BATCHES, OPTIMIZERS = (0.003, 0.01, 0.1), (32, 64), ("Adam", "SGD")
DOZEN = list(itertools.product(RATES, BATCHES, OPTIMIZERS))
BEST = (0.01, 32, "Adam")
ACCURACY = {0.003: 0.8, 0.01: 0.9, 0.1: 0.6}


def weights(seed: int, choice: Sequence[Any]) -> bytes:
    return f"weights of {choice} from seed {seed}".encode()


def train(session: Session, seed: int, choice: Sequence[Any], person: str, **asked: Any) -> str:
    rate, batch, optimizer = choice
    accuracy = ACCURACY[rate] + 0.01 * (optimizer == "Adam") + 0.001 * (batch == 32)
    return finish_run(
        session.record,
        new_run(
            params={"lr": rate, "batch_size": batch, "optimizer": optimizer},
            seed=seed,
            image=f"image of {choice} {seed}",
            submitted_by=person,
            git=GitState(remote="", commit="c" * 40, branch="main", subject="Try more rates", dirty=False),
            **asked,
        ),
        box="b0",
        metrics={"accuracy": accuracy - 0.0001 * seed},
        outputs=(stored_output(session.store, "model.pt", weights(seed, choice)),),
        packages={"torch": "2.13.0"},
        source={"train.py": "ab" * 32},
        readbacks=(Readback(pid=7, argv=("python",), start={"benchmark": False}, end={"benchmark": False}),),
        started_at=NOON,
        seconds=60.0,
        fingerprint=Fingerprint(
            bit_class={"cpu_isa": ["avx2"]},
            perf_class={"cpu_model": "EPYC 9454"},
            identity={},
            bit_digest=digest_of("bits"),
        ),
    )


def study(site: Site, seed: int) -> dict[Sequence[Any], str]:
    """The dozen with this seed, shared out among the five: each run's id."""
    with Session(site.server.settings) as session:
        session.record.boxes.introduce(BOX)
        pairs = zip(DOZEN, itertools.cycle(PEOPLE), strict=False)
        return {choice: train(session, seed, choice, person) for choice, person in pairs}


def test_who_won_with_what_what_mattered_where_its_weights_are_and_is_it_so_again(
    site_of: Callable[..., Site], visit: Callable[..., Page], tmp_path: Path
) -> None:
    site = site_of(seeded=False)
    runs = study(site, seed=11)
    winner, who = runs[BEST], PEOPLE[DOZEN.index(BEST) % len(PEOPLE)]
    with Session(site.server.settings) as session:
        finish_run(session.record, new_run(job="another"), metrics={"accuracy": 0.99})
        again = train(session, 11, BEST, "eve", rerun_of=winner)
        verdict = compare(
            session.record.run_with_points(winner), session.record.run_with_points(again), session.store.open
        )
        assert verdict.outcome == "identical", verdict
        session.record.add_verdict(verdict, "b0", "eve")

    page = visit(site.server)
    page.keyboard.press("/")
    page.keyboard.type("job == 'digits'")
    page.get_by_role("checkbox", name="No reruns").check()
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**where=job*")
    page.get_by_role("link", name="accuracy").click()
    page.wait_for_url("**sort=-metrics.accuracy*")
    rows = page.locator("tr[data-row]")
    assert rows.count() == 12
    assert {person for person in PEOPLE if page.get_by_role("cell", name=person, exact=True).count()} == set(
        PEOPLE
    )
    first = rows.first
    for word in (winner, who, "0.01", "32", "Adam"):
        assert word in first.inner_text()

    first.get_by_role("link", name=winner).click()
    page.wait_for_url(f"**/runs/{winner}")
    for part in page.locator("details.part > summary").all():
        part.click()
    told = page.inner_text("main")
    for word in (who, "optimizer", "Adam", "batch_size", "seed", "11", "alpha"):
        assert word in told, word
    for part, word in (
        ("#parameters", "0.01"),
        ("#source", "train.py"),
        ("#packages", "2.13.0"),
        ("#hardware", "EPYC 9454"),
        ("#summary", "c" * 12),
        ("#summary", "identical"),
    ):
        assert word in page.locator(part).inner_text(), part

    # A dozen runs are too few for shares, and it is said.
    page.locator("#metrics").get_by_role("link", name="accuracy").click()
    page.wait_for_url("**/importance?job=digits&metric=accuracy")
    page.get_by_text("cannot be told: 20 runs with this metric are needed, and 12 have it").wait_for()
    assert axe(page) == []
    study(site, seed=12)
    page.reload()
    shares = page.get_by_role("region", name="parameter").locator("tbody tr")
    assert shares.count() == 3
    assert shares.first.inner_text().startswith("lr")
    page.go_back()

    # Whose weights are in a file that somebody found: those of the winner, and of its rerun.
    with page.expect_download() as download:
        page.get_by_role("link", name="Download model.pt").click()
    found = tmp_path / "who-knows.bin"
    download.value.save_as(found)
    assert found.read_bytes() == weights(11, BEST)
    page.get_by_role("link", name="Origin", exact=True).click()
    page.get_by_label("Choose a file").set_input_files(found)
    page.wait_for_url("**/origin?digest=*")
    answer = page.get_by_role("region", name="Answer")
    answer.get_by_role("link", name=winner).first.wait_for()
    said = answer.inner_text()
    for word in (who, "lr=0.01", "optimizer=Adam", "identical", again):
        assert word in said, word
    assert not [run for run in runs.values() if run != winner and run in said], "no other has its weights"

    # Is it so again: the rerun, and how it was judged.
    answer.get_by_role("link", name=again).first.click()
    page.wait_for_url(f"**/runs/{again}")
    page.get_by_role("link", name="Beside its original").click()
    page.wait_for_url(f"**/runs/{again}/reproduction")
    page.get_by_text("identical").first.wait_for()
    page.locator("main").get_by_role("link", name=winner).first.click()
    page.wait_for_url(f"**/runs/{winner}")


def test_pages_of_a_job_lead_to_each_other(site: Site, visit: Callable[..., Page]) -> None:
    page = visit(site.server, "/?job=digits&sort=-metrics.accuracy&where=params.layers+%3E+2", scripts=False)
    page.get_by_role("main").get_by_role("link", name="What mattered").click()
    page.wait_for_url("**/importance?job=digits&metric=accuracy&where=params.layers*")
    page.go_back()
    page.get_by_role("link", name=site.runs.best).first.click()
    page.get_by_role("heading", level=1).get_by_role("link", name="digits").click()
    page.wait_for_url("**/?job=digits")
    page.goto(f"{site.server.origin}/runs/{site.runs.best}#outputs")
    page.get_by_role("row", name="model.pt").locator("td.mono a").click()
    page.wait_for_url("**/origin?digest=sha256*")
    page.get_by_role("region", name="Answer").get_by_role("link", name=site.runs.best).wait_for()
