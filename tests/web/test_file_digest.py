"""The run behind a file, by its digest alone."""

from __future__ import annotations

import pytest
from support.seeded_record import PNG
from support.web_fixtures import Site

from orchestrator.digest import Digest

PICTURE = Digest.of(PNG)


def test_the_runs_that_made_it_are_told(site: Site) -> None:
    for text in (str(PICTURE), PICTURE.hex, PICTURE.hex.upper()):
        found = site.server.ask(f"/origin?digest={text}")
        assert found.status == 200
        assert f'href="/runs/{site.runs.grid[0]}"' in found.text
        assert "plot.png" in found.text
    document = site.server.json(f"/origin?digest={PICTURE}&format=json")
    assert len(document["files"][0]["made_by"]) == 9


def test_an_unknown_one_is_told(site: Site) -> None:
    assert "no run made this" in site.server.ask(f"/origin?digest={'0' * 64}").text


@pytest.mark.parametrize("odd", ["x", "sha256:12", "md5:" + "0" * 32, "%00", "g" * 64])
def test_what_is_no_digest_is_refused(site: Site, odd: str) -> None:
    assert site.server.ask(f"/origin?digest={odd}").status == 400
