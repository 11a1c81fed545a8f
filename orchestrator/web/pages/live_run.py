"""`/runs/ID/events`, a stream of what a run does now; `/runs/ID/live`, the same at once for who polls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from orchestrator.record.run_record import OpenRun
from orchestrator.web.answers import json_answer, session_of
from orchestrator.web.live_hub import STREAMS, Channel, Hub, Message, Tab, hub_of

ALIVE = 15.0  # seconds after which a silent stream says that it is there


def _run_of(request: Request) -> OpenRun:
    record = session_of(request).record
    return record.open_run(record.find(request.path_params["run"]))


async def events(request: Request) -> Response:
    """Server-sent events: `reset` with everything, then `run`, `state`, `log`, `problem`, at last `end`."""
    hub = hub_of(request.app)
    run = await run_in_threadpool(_run_of, request)
    if run.state.final:
        return Response(status_code=204)  # a browser asks no more
    if request.method == "HEAD":  # it takes no bytes, so nothing would show that it is gone
        return Response(media_type="text/event-stream")
    if hub.streams >= STREAMS:
        return PlainTextResponse(f"{STREAMS} streams are open; poll /live instead\n", 503)
    hub.streams += 1
    return _EventStream(hub, run, request.headers.get("last-event-id", "")[:60])


class _EventStream(StreamingResponse):
    """What a tab is told. Its place is free again however the connection ends."""

    def __init__(self, hub: Hub, run: OpenRun, last: str) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self._hub, self._run, self._last = hub, run, last
        self._channel: Channel | None = None
        self._tab = Tab(asyncio.get_running_loop())
        super().__init__(self._events(), media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._channel = await run_in_threadpool(self._hub.channel, self._run)
            await super().__call__(scope, receive, send)
        finally:
            self._hub.streams -= 1
            if self._channel is not None:
                self._channel.leave(self._tab)

    async def _events(self) -> AsyncIterator[str]:
        channel, tab = self._channel, self._tab
        assert channel is not None  # noqa: S101  (for mypy)
        await run_in_threadpool(channel.snapshot)  # so that the first message holds something
        for message in await run_in_threadpool(channel.enter, tab, self._last):
            yield _event(channel, message)
        while True:
            try:
                waiting = await asyncio.wait_for(tab.queue.get(), ALIVE)
            except TimeoutError:
                if channel.over:  # before this tab came
                    return
                yield ": still here\n\n"
                continue
            if waiting is None:
                return
            yield _event(channel, waiting)


def _event(channel: Channel, message: Message) -> str:
    return f"id: {channel.name}-{message.number}\nevent: {message.event}\ndata: {message.data}\n\n"


def live(request: Request) -> Response:
    run = _run_of(request)
    if run.state.final:
        return json_answer({"run": run.id, "state": run.state.value, "log": None, "live": None})
    mark, text = hub_of(request.app).channel(run).snapshot()
    headers = {"ETag": f'"{mark}"', "Cache-Control": "private, no-cache"}
    if f'"{mark}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(text + "\n", media_type="application/json", headers=headers)


routes = [
    Route("/runs/{run}/events", events, methods=["GET"]),
    Route("/runs/{run}/live", live, methods=["GET"]),
]
