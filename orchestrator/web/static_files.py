"""Our own files for the browser: known by name before any is asked for, and addressed by what they hold."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

FOLDER = Path(__file__).with_name("static")
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"


class StaticFile(NamedTuple):
    data: bytes
    media_type: str
    mark: str  # of its bytes: 16 hex digits


@cache
def static_files() -> dict[str, StaticFile]:
    """By name: `style.css`, `vendor/uplot/uPlot.min.css`."""
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in _TYPES and path.is_file():
            data = path.read_bytes()
            mark = hashlib.sha256(data).hexdigest()[:16]
            found[path.relative_to(FOLDER).as_posix()] = StaticFile(data, _TYPES[path.suffix], mark)
    return found


def static_path(name: str) -> str:
    """Where a file is served: `/static/0123456789abcdef/style.css`. KeyError for none of ours."""
    return f"/static/{static_files()[name].mark}/{name}"


async def serve(request: Request) -> Response:
    found = static_files().get(request.path_params["name"])
    if found is None or found.mark != request.path_params["mark"]:
        return PlainTextResponse("there is no such file\n", 404)
    return Response(found.data, media_type=found.media_type, headers={"Cache-Control": _FOREVER})


routes = [Route("/static/{mark}/{name:path}", serve)]
