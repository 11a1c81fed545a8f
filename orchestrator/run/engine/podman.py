"""Where Podman behind Docker's interface needs other questions than Docker, to give the same answers.

`api` is docker's client, which is imported in engine.py only.
"""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator.errors import EngineError
from orchestrator.run.attempt_model import Mount, Plan
from orchestrator.run.engine.engine_errors import HOW_TO_BE_SEEN, guard

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_OWN_API = "v5.0.0/libpod"
_STAT = "X-Docker-Container-Path-Stat"
_PERMISSIONS = 0o777
_MOST_ERROR = 64 << 10  # bytes
_TRIES = 3  # of a question: once in twenty times a mount was not found, and was there a moment later
_PAUSE = 0.3  # seconds between them


def docker_tag(tag: str) -> str:
    """A tag as Docker has it: a name without a host is given one here, and `library`."""
    _, found, name = tag.partition("/library/")
    return name if found and "/" not in name else tag


def ended_through_podman(api: Any, name: str) -> bool:
    """Whether somebody had Podman stop or kill the container.

    Its events do not say so: of `podman stop` there is an event only if the container's own clean-up was not
    faster (5.8).
    """
    with guard(f"asking what happened to container {name}"):
        answer = api.get(f"{api.base_url}/{_OWN_API}/containers/{name}/json")
    if answer.status_code != 200:
        raise EngineError(f"asking what happened to container {name}: {answer.text.strip()[:300]}")
    return bool((answer.json().get("State") or {}).get("StoppedByUser"))


def check_mounts(api: Any, plan: Plan) -> None:
    """EngineError where a container that was never started has other files in its mounts than this box.

    Podman makes a folder where it does not find the source of a mount. Nothing of a job has run yet, so the
    engine may be asked what lies at a path.
    """
    url = f"{api.base_url}/v{api.api_version}/containers/{plan.container}/archive"
    for mount in plan.mounts:
        for left in reversed(range(_TRIES)):
            with guard(f"looking at {mount.target} of container {plan.container}"):
                other = _other_than(mount, api, url)
            if other is None:
                break
            time.sleep(_PAUSE if left else 0)
        else:
            text = f"has other files at {mount.target} than this box at {mount.source}"
            said = f" (Podman says: {other})" if other else ""
            raise EngineError(f"container {plan.container} {text}{said}", HOW_TO_BE_SEEN)


def _other_than(mount: Mount, api: Any, url: str) -> str | None:
    """None where the source of a mount lies there; else what Podman says in place of that.

    Podman 5.8.6 fails to look at a mount that is a single file, because it takes its source for the new root;
    that error is the proof that a file is there. No time is compared then; that of each folder is.
    """
    answer = api.head(url, params={"path": mount.target})
    if answer.status_code == 200:
        said = _stat(answer.headers)
        return None if said is not None and _same(mount.source, said) else ""
    with api.get(url, params={"path": mount.target}, stream=True) as answer:
        text = "" if answer.status_code == 200 else answer.raw.read(_MOST_ERROR).decode(errors="replace")
    if mount.source.is_file() and f"chdir {mount.source}: not a directory" in text:
        return None
    return " ".join(text.split())[:300]


def _stat(headers: Mapping[str, str]) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.b64decode(headers.get(_STAT, "")))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _same(source: Path, said: Mapping[str, Any]) -> bool:
    """Whether a path there has the permissions and the time of the last change that it has here."""
    here = source.stat()
    try:
        changed = datetime.fromisoformat(str(said.get("mtime"))).timestamp()
        mode = int(said.get("mode") or 0)
    except ValueError:
        return False
    return int(here.st_mtime) == int(changed) and here.st_mode & _PERMISSIONS == mode & _PERMISSIONS
