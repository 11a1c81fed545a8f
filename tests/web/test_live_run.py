"""The stream of a run that is not over: everything at first, then what is new, within limits."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.records import finish_run, new_run, no_run_is_read
from support.running_run import RunningJob, running_job, step_lines
from support.web_fixtures import Site
from support.web_server import WebServer

from orchestrator.errors import RecordError
from orchestrator.launch.execute.log_relay import StateRelay
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.record.record import Record
from orchestrator.record.run_record import OpenRun
from orchestrator.run.live.live_attempt import LiveAttempt
from orchestrator.run.workspace import folders_of
from orchestrator.web import live_hub, server


class Stream:
    """Server-sent events, as a browser reads them."""

    def __init__(self, server: WebServer, path: str, last: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.bound.port, timeout=30)
        headers = {"Host": server.host, **server.cookie("read")} | ({"Last-Event-ID": last} if last else {})
        self._connection.request("GET", path, headers=headers)
        self.answer = self._connection.getresponse()
        self.last = ""

    def next(self) -> tuple[str, Any]:
        """Name and data of the next event."""
        fields: dict[str, str] = {}
        while line := self.answer.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        if not fields or "" in fields:  # a comment that keeps the connection
            return self.next() if fields else ("", None)
        self.last = fields["id"]
        return fields["event"], json.loads(fields["data"])

    def until(self, fits: Callable[[str, Any], bool]) -> Any:
        for _ in range(200):
            event, data = self.next()
            if not event:
                break
            if fits(event, data):
                return data
        pytest.fail("the event never came")

    def close(self) -> None:
        self._connection.close()


@contextmanager
def streaming(site: Site, job: RunningJob, last: str = "") -> Iterator[Stream]:
    stream = Stream(site.server, f"/runs/{job.run}/events", last)
    try:
        yield stream
    finally:
        stream.close()


def test_everything_and_then_what_is_new(empty_site: Site, job: RunningJob) -> None:
    job.prints("one\n")
    job.measures({"step": 1, "loss": 0.5})
    with streaming(empty_site, job) as stream:
        event, data = stream.next()
        assert (event, data["state"]) == ("reset", "running")
        assert data["log"] == {"first": 1, "lines": ["one"]}
        job.prints("two\nthr")
        assert stream.until(lambda event, _: event == "log") == {"first": 2, "lines": ["two"], "missed": 0}
        job.measures({"step": 2, "loss": 0.25})
        job.traces(*step_lines(0, 0.7))
        state = stream.until(
            lambda event, data: event == "state" and data["trace"] and len(data["series"]) == 2
        )
        assert [(one["name"], one["points"]) for one in state["series"]] == [("trace.loss", 1), ("loss", 2)]
        assert state["trace"]["steps"] == 1
        job.ends()
        assert stream.until(lambda event, _: event == "end") == {"state": "succeeded"}
        assert stream.next() == ("", None)
    assert empty_site.server.ask(f"/runs/{job.run}/events").status == 204
    ended = empty_site.server.ask(f"/runs/{job.run}/live")
    assert json.loads(ended.text)["state"] == "succeeded"


def test_a_broken_connection_is_told_what_it_missed_or_everything(empty_site: Site, job: RunningJob) -> None:
    job.prints("one\n")
    with streaming(empty_site, job) as other:
        other.next()
        with streaming(empty_site, job) as stream:
            assert stream.next()[0] == "reset"
            last = stream.last
        job.prints("two\n")
        other.until(lambda event, _: event == "log")
        with streaming(empty_site, job, last) as again:
            missed = again.until(lambda event, _: event in ("log", "reset"))
            assert missed["lines"] == ["two"]
        for wrong in ("0123abcd-1", "x", f"{last.partition('-')[0]}-{'9' * 30}x"):
            with streaming(empty_site, job, wrong) as again:
                assert again.next()[0] == "reset"


def test_a_question_of_who_polls(empty_site: Site, job: RunningJob) -> None:
    job.prints("one\n")
    first = empty_site.server.ask(f"/runs/{job.run}/live")
    assert json.loads(first.text)["run"] == job.run
    job.prints("two\n")
    path, mark = f"/runs/{job.run}/live", first.headers["etag"]
    given_up = time.monotonic() + 60
    while (again := empty_site.server.ask(path, headers={"If-None-Match": mark})).status == 304 or (
        again.status == 200 and "two" not in again.text
    ):
        assert time.monotonic() < given_up, "the new line never came"
        time.sleep(0.05)
    assert again.status == 200


def test_the_server_ends_at_once_under_an_open_tab(empty_site: Site, job: RunningJob) -> None:
    """Not when a grace for slow answers is over: a stream has no end of its own."""
    with streaming(empty_site, job) as stream:
        assert stream.next()[0] == "reset"
        empty_site.server.stop()
        begun = time.monotonic()
        while stream.answer.readline():
            pass
        assert time.monotonic() - begun < 2.5


def test_who_asks_what_a_run_does_reads_not_all_that_is_recorded_of_it(
    empty_site: Site, record: Record, job: RunningJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tab asks every two seconds, also when the run is over; then it may have left 100,000 outputs."""
    over = finish_run(record, new_run())
    with streaming(empty_site, job) as stream:
        stream.next()  # it is followed now
        no_run_is_read(monkeypatch)
        for run, state in ((job.run, "running"), (over, "succeeded")):
            assert json.loads(empty_site.server.ask(f"/runs/{run}/live").text)["state"] == state
        with streaming(empty_site, job) as another:
            assert another.next()[0] == "reset"
        assert empty_site.server.ask(f"/runs/{over}/events").status == 204


def test_more_streams_than_are_served_are_refused(
    empty_site: Site, job: RunningJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.web.pages.live_run.STREAMS", 1)
    with streaming(empty_site, job) as stream:
        stream.next()
        refused = empty_site.server.ask(f"/runs/{job.run}/events")
        assert refused.status == 503
        assert empty_site.server.ask(f"/runs/{job.run}/live").status == 200
    assert empty_site.server.ask(f"/runs/{job.run}/events", token=None).status == 401
    assert empty_site.server.ask("/runs/0000000000000000/events").status == 400


def test_who_does_not_read_or_asks_for_a_head_holds_no_stream(
    empty_site: Site, job: RunningJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.web.pages.live_run.STREAMS", 1)
    monkeypatch.setattr(server, "UNREAD_SECONDS", 0.2)
    path = f"/runs/{job.run}/events"
    head = empty_site.server.ask(path, "HEAD")
    assert (head.status, head.data) == (200, b"")
    sent = "".join(f"{name}: {value}\r\n" for name, value in empty_site.server.cookie("read").items())
    with socket.socket() as unread:
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        unread.connect(("127.0.0.1", empty_site.server.bound.port))
        unread.sendall(f"GET {path} HTTP/1.1\r\nHost: {empty_site.server.host}\r\n{sent}\r\n".encode())
        line = "x" * live_hub.LONGEST + "\n"
        end = time.monotonic() + 20
        while True:
            job.prints(line * live_hub.LINES)
            with streaming(empty_site, job) as stream:
                if stream.answer.status == 200:
                    return
            assert time.monotonic() < end, "the place is still held"
            time.sleep(0.1)


def test_more_runs_than_are_followed_are_refused(
    empty_site: Site, record: Record, job: RunningJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a thread; whoever may read could ask for all runs that wait."""
    monkeypatch.setattr(live_hub, "FOLLOWED", 1)
    assert empty_site.server.ask(f"/runs/{job.run}/live").status == 200
    waiting, _ = record.submit(new_run())
    for what in ("live", "events"):
        refused = empty_site.server.ask(f"/runs/{waiting}/{what}")
        assert refused.status == 503
        assert "1 runs are followed" in refused.text
    assert empty_site.server.ask(f"/runs/{job.run}/live").status == 200


def test_a_record_that_does_not_answer_holds_the_end_of_all_streams_once(
    empty_site: Site, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [record.submit(new_run(seed=number))[0] for number in range(4)]
    silent = threading.Event()
    with Session.as_it_is(empty_site.server.settings) as session:
        hub = live_hub.Hub(session)

        def nothing(_run: str) -> OpenRun:
            silent.wait(20)
            raise RecordError("it is away")

        monkeypatch.setattr(session.record, "open_run", nothing)
        for run in runs:
            hub.channel(record.open_run(run))
        monkeypatch.setattr(live_hub, "RECORD", 0.2)
        begun = time.monotonic()
        hub.close()
        took = time.monotonic() - begun
        silent.set()
        assert took < 1.0


def test_a_tab_that_does_not_read_is_given_everything_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fill() -> list[str]:
        tab = live_hub.Tab(asyncio.get_running_loop())
        for number in range(20):
            message = live_hub.Message(number, "log", "{}")
            tab.send(message, lambda: live_hub.Message(99, "reset", "{}"))
        await asyncio.sleep(0)
        found = []
        while not tab.queue.empty():
            one = tab.queue.get_nowait()
            found.append(one.event if one else "")
        return found

    assert asyncio.run(fill()) == ["reset"], "everything holds what came before it: no line twice"


def test_a_tab_that_enters_while_a_line_is_told_has_it_once(
    empty_site: Site, job: RunningJob, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It enters between the reading of the line and the message of it, which no test can hit otherwise."""
    real = live_hub.Channel._tell

    async def lines() -> list[str]:
        tab, given, entering = live_hub.Tab(asyncio.get_running_loop()), [], []

        def tell(channel: live_hub.Channel, event: str, data: Any) -> None:
            if event == "log" and not entering:
                entering.append(threading.Thread(target=lambda: given.extend(channel.enter(tab, ""))))
                entering[0].start()
                entering[0].join(0.3)  # it waits for the message
            real(channel, event, data)

        monkeypatch.setattr(live_hub.Channel, "_tell", tell)
        with Session.as_it_is(empty_site.server.settings) as session:
            channel = live_hub.Channel(session, record.open_run(job.run))
            job.prints("one\n")
            while not given:
                await asyncio.sleep(0.01)
            channel.close(time.monotonic() + 5)
        await asyncio.sleep(0)
        while not tab.queue.empty():
            given += [message for message in [tab.queue.get_nowait()] if message is not None]
        told = [(one.event, json.loads(one.data)) for one in given]
        logs = [
            data["log"] if event == "reset" else data for event, data in told if event in ("reset", "log")
        ]
        return [line for log in logs for line in log["lines"]]

    assert asyncio.run(asyncio.wait_for(lines(), 30)) == ["one"]


def test_a_run_of_another_box_is_followed_through_the_record(empty_site: Site, record: Record) -> None:
    """What its box relays: one row, in place, gone with the attempt."""
    settings = empty_site.server.settings
    with running_job(settings, record, box="b" * 16) as job:
        live = lambda: LiveAttempt(folders_of(settings, job.run, job.attempt), None)  # noqa: E731
        relay = StateRelay(record, job.run, job.attempt, live, Silent())
        record.append_log(job.run, job.attempt, 0, b"from afar\n")
        job.measures({"step": 1, "loss": 0.5})
        with streaming(empty_site, job) as stream:
            state = stream.until(
                lambda event, data: bool((data if event == "state" else data.get("live")) or 0)
            )
            series = (state.get("live") or state)["series"]
            assert [(one["name"], one["value"]) for one in series] == [("loss", 0.5)]
            job.measures({"step": 2, "loss": 0.25})
            stream.until(lambda event, data: event == "state" and data["series"][0]["points"] == 2)
        relay.close()
        record.put_live(job.run, job.attempt, '{"series": 7}')  # by others
        assert empty_site.server.ask(f"/runs/{job.run}/live").status == 200
        job.ends()
        assert record.live_state(job.run, job.attempt) is None
