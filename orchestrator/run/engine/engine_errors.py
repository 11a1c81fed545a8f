"""What docker, requests and sockets raise becomes one of two errors: the engine refused, or it is away.

Whoever follows a container waits for an engine that is away: silence says nothing about the container.
"""

from __future__ import annotations

import http.client
import re
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
# Answers of Docker and Podman to a mount whose source they do not find.
_UNSEEN = re.compile(r"bind source path does not exist|statfs .*: no such file or directory")
HOW_TO_BE_SEEN = (
    "the engine runs on another machine, or in a mount namespace of its own (DOCKER_HOST): run reprise where"
    " the engine runs, or give it REPRISE_HOME and the inputs under the same paths; `reprise doctor` tries it"
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
        if _UNSEEN.search(text):
            unseen = f"{doing}: the engine does not see the files of this box: {text}"
            raise EngineError(unseen, HOW_TO_BE_SEEN) from error
        raise EngineError(f"{doing}: {text}") from error
    except _AWAY as error:
        raise EngineMissingError(f"{doing}: the engine does not answer", HOW_TO_GET_ONE) from error
    except (DockerException, requests.exceptions.RequestException) as error:
        raise EngineError(f"{doing}: {error}") from error


def is_name_taken(error: APIError) -> bool:
    """Whether a container was not made because another one has its name. Podman says that with a 500."""
    taken = error.status_code == 500 and "name" in _words(error) and "already in use" in _words(error)
    return error.status_code == 409 or taken


def _words(error: APIError) -> str:
    lines = str(error.explanation or error).strip().splitlines()
    return lines[0] if lines else "the engine refused"
