"""`/origin`: the run behind a file. The browser hashes it; only the digest is sent."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.view.runs.origin_view import origin_view
from orchestrator.web.answers import json_answer, page, session_of, wants_json

THIS = Path("this file")  # its name stays in the browser


def file_digest(request: Request) -> Response:
    asked = request.query_params.get("digest", "").strip().lower()
    if not asked:
        return page(request, "origin.html", title="Origin", asked="", found=None)
    try:
        digest = Digest(asked if asked.startswith("sha256:") else f"sha256:{asked}")
    except ValueError as error:
        raise UsageError(
            f"{asked[:80]!r} is no SHA-256", "64 hex digits, as `sha256sum FILE` prints them"
        ) from error
    record = session_of(request).record
    made, mentions = record.history.origin([digest]), record.history.mentions([digest])
    view = origin_view({THIS: digest}, {}, made, mentions, record.data_sets.mentions([digest]))
    if wants_json(request):
        return json_answer(view.document)
    return page(request, "origin.html", title="Origin", asked=str(digest), found=view.page)


routes = [Route("/origin", file_digest)]
