"""`/runs/ID/events`, a stream of what a run does now; `/runs/ID/live`, the same at once for who polls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestrator.record.run_record import RunRecord
from orchestrator.web.answers import json_answer, session_of
from orchestrator.web.live_hub import STREAMS, Channel, Hub, Message, Tab, hub_of

ALIVE = 15.0  # seconds after which a silent stream says that it is there


def _run_of(request: Request) -> RunRecord:
    record = session_of(request).record
    return record.run_without_series(record.find(request.path_params["run"]))


async def events(request: Request) -> Response:
    """Server-sent events: `reset` with everything, then `run`, `state`, `log`, `problem`, at last `end`."""
    hub = hub_of(request.app)
    if hub.streams >= STREAMS:
        return PlainTextResponse(f"{STREAMS} streams are open; poll /live instead\n", 503)
    run = await run_in_threadpool(_run_of, request)
    if run.state.final:
        return Response(status_code=204)  # a browser asks no more
    channel = await run_in_threadpool(hub.channel, run)
    stream = _stream(hub, channel, request.headers.get("last-event-id", "")[:60])
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _stream(hub: Hub, channel: Channel, last: str) -> AsyncIterator[str]:
    tab = Tab(asyncio.get_running_loop())
    hub.streams += 1
    try:
        await run_in_threadpool(channel.snapshot)  # so that the first message holds something
        for message in await run_in_threadpool(channel.enter, tab, last):
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
    finally:
        hub.streams -= 1
        channel.leave(tab)


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
