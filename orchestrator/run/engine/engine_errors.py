"""What docker, requests and sockets raise becomes one of two errors: the engine refused, or it is away.

Whoever follows a container waits for an engine that is away: silence says nothing about the container.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound, StreamParseError

from orchestrator.errors import EngineError, EngineMissingError, ImageMissingError

HOW_TO_GET_ONE = (
    "install Docker (`make engine` in a checkout does); DOCKER_HOST names another; try `docker version`"
)

# The engine is absent, or died before or within an answer. Errors within an answer come from the layers below
# requests, which does not wrap them.
_AWAY = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.JSONDecodeError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    StreamParseError,
    ConnectionError,
    TimeoutError,
)
# Answers of an engine whose containerd is away, or that is shutting down.
_GOING = (
    "code = Unavailable",
    "context canceled",
    "error reading from server",
    "shutting down",
    "the client connection is closing",
    "transport is closing",
)


@contextmanager
def guard(doing: str) -> Iterator[None]:
    """Turn what is raised into an EngineError that says what was being done.

    EngineMissingError where the engine is away; ImageMissingError where it lacks an image.
    """
    try:
        yield
    except ImageNotFound as error:
        raise ImageMissingError(f"{doing}: {_words(error)}") from error
    except APIError as error:
        text = _words(error)
        if (error.status_code or 0) >= 500 and any(part in text for part in _GOING):
            raise EngineMissingError(f"{doing}: the engine is going down: {text}", HOW_TO_GET_ONE) from error
        raise EngineError(f"{doing}: {text}") from error
    except _AWAY as error:
        raise EngineMissingError(f"{doing}: the engine does not answer", HOW_TO_GET_ONE) from error
    except (DockerException, requests.exceptions.RequestException) as error:
        raise EngineError(f"{doing}: {error}") from error


def _words(error: APIError) -> str:
    lines = str(error.explanation or error).strip().splitlines()
    return lines[0] if lines else "the engine refused"
