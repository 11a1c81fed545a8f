"""Notes, tags, aliases and the end of a run, by forms."""

from __future__ import annotations

from collections.abc import Callable

from support.web_fixtures import Site

from orchestrator.record.record import open_record
from orchestrator.run.attempt_model import State


def test_what_is_said_is_recorded(site_of: Callable[..., Site]) -> None:
    site = site_of()
    run = site.runs.failed

    def say(do: str, text: str = "", **more: str) -> None:
        found = site.server.post(f"/runs/{run}", {"do": do, "text": text, **more})
        assert (found.status, found.headers["location"]) == (303, f"/runs/{run}#said")

    say("note", "too high a rate\r\nsee the paper", by="grace")
    say("tag", "bad, rate")
    say("untag", "rate")
    say("alias", "worst")
    say("archive")
    with open_record(site.server.settings) as record:
        marks = record.annotations.marks(run)
        assert [(note.text, note.by) for note in marks.notes] == [("too high a rate\nsee the paper", "grace")]
        assert (marks.tags, marks.names) == (("bad",), ("worst",))
        assert marks.archived is not None
    say("restore")
    say("unalias", "worst")
    found = site.server.post(f"/runs/{site.runs.queued}", {"do": "cancel"})
    assert found.status == 303
    with open_record(site.server.settings) as record:
        assert record.run(site.runs.queued).state is State.CANCELLED
        assert record.annotations.marks(run).archived is None


def test_what_cannot_be_said_is_refused_with_a_message(site: Site) -> None:
    for form in (
        {"do": "alias", "text": "0123"},
        {"do": "note", "text": " "},
        {"do": "tag", "text": "<b>"},
        {"do": "other"},
        {},
    ):
        assert site.server.post(f"/runs/{site.runs.failed}", form).status == 400
    assert site.server.post("/runs/0123456789abcdef", {"do": "note", "text": "x"}).status == 400
