"""`/runs/ID/outputs/HEX`: an output looked at, and its bytes, by digest, where a row of the run names it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.parse import quote

from anyio import from_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from orchestrator.digest import Digest
from orchestrator.record.runs.read_run import RunOutput
from orchestrator.run.attempt_model import Output
from orchestrator.view.forms.clean_text import clean_line
from orchestrator.web.answers import page, session_of
from orchestrator.web.previews.output_preview import (
    LARGEST_IMAGE,
    LONGEST_HEADER,
    image_type,
    preview,
    too_many_pixels,
)

LOOK = 0.5  # seconds between two looks whether a client is still there
_PLAIN = re.compile(r"[^A-Za-z0-9._-]")
# Of bytes that a job left: nothing of them runs, whatever they are opened as.
_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"


def output_page(request: Request) -> Response:
    run, digest, (job, output) = _named(request)
    found = preview(session_of(request).store, digest, output.path, output.size)
    blocks = () if found.table is None else (found.table,)
    return page(
        request,
        "output.html",
        title=clean_line(output.path),
        run=run,
        job=job,
        output=output,
        preview=found,
        blocks_shown=blocks,
        path=path_of(run, output),
    )


def path_of(run: str, output: Output) -> str:
    """Where an output is looked at. Several may have the same bytes: the first of them names them."""
    return f"/runs/{run}/outputs/{output.digest.hex if output.digest else ''}"


def image(request: Request) -> Response:
    """A PNG, JPEG or WebP of a few MiB, for a page to show."""
    _, digest, (_, output) = _named(request)
    if output.size > LARGEST_IMAGE:
        raise HTTPException(404)
    data = b"".join(session_of(request).store.chunks_of(digest, output.size))
    kind = image_type(data)
    if kind is None or too_many_pixels(data[:LONGEST_HEADER]):
        raise HTTPException(404)
    return Response(data, media_type=kind, headers={"Content-Security-Policy": _POLICY})


def download(request: Request) -> Response:
    _, digest, (_, output) = _named(request)
    chunks = session_of(request).store.chunks_of(digest, output.size, _Waiting(request))
    first = next(chunks, b"")  # an absent or damaged blob is told before anything is sent

    def body() -> Iterator[bytes]:
        yield first
        yield from chunks

    headers = {
        "Content-Disposition": attachment(output.path),
        "Content-Length": str(output.size),
        "Content-Security-Policy": _POLICY,
    }
    return StreamingResponse(body(), media_type="application/octet-stream", headers=headers)


class _Waiting:
    """Called in a thread of the server, it ends what is done for a client that has gone: 499.

    A large file is read for minutes before its first byte is sent, and who sees nothing asks again.
    """

    def __init__(self, request: Request) -> None:
        self._request, self._due = request, 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + LOOK
        if from_thread.run(self._request.is_disconnected):
            raise HTTPException(499)


def attachment(path: str) -> str:
    """A file to be kept, never shown; its name without anything that a header or a file system could take."""
    name = clean_line(path.rpartition("/")[2])[:150].lstrip(".") or "output"
    return f"attachment; filename=\"{_PLAIN.sub('_', name)}\"; filename*=UTF-8''{quote(name, safe='')}"


def _named(request: Request) -> tuple[str, Digest, RunOutput]:
    """The run's id, the digest, and the run's first output of it. 404 where no row of that run names it."""
    record = session_of(request).record
    run = record.find(request.path_params["run"])
    digest = Digest.parse(f"sha256:{request.path_params['hex']}")
    found = digest and record.output_of(run, digest)
    if not digest or not found:
        raise HTTPException(404)
    return run, digest, found


routes = [
    Route("/runs/{run}/outputs/{hex}", output_page),
    Route("/runs/{run}/outputs/{hex}/image", image),
    Route("/runs/{run}/outputs/{hex}/download", download),
]
