"""Comparing a created container with its plan, setting by setting, before it is started.

An image can bring settings of its own (volumes, a health check). An engine can leave out a setting that it
does not know. A container of the attempt's name may be there already.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.errors import EngineError
from orchestrator.run.attempt_model import Plan
from orchestrator.run.engine.container_config import container_config
from orchestrator.run.engine.engine import Engine
from orchestrator.run.engine.engine_errors import guard

# Host settings that no plan sets, because they open the host to the container.
_NEVER_SET = (
    *("Binds", "CapAdd", "CgroupParent", "DeviceCgroupRules", "Devices", "GroupAdd", "Links"),
    *("OomKillDisable", "OomScoreAdj", "PidMode", "PortBindings", "Privileged", "PublishAllPorts"),
    *("Sysctls", "UTSMode", "UsernsMode", "VolumeDriver", "VolumesFrom"),
)
_SUBSETS = ("Env", "Labels")  # the image adds its own
_NO_HEALTH_CHECK = ({"Test": ["NONE"]}, None)
SHOWN = 4  # settings that the message names


def check_created(engine: Engine, plan: Plan, images: Iterable[str], *, podman: bool = False) -> None:
    """EngineError where the container differs from its plan, or its image is not in `images` (engine ids).

    Podman reports the same settings in another form: there only image, user and mounts are compared.
    """
    with guard(f"looking at container {plan.container}"):
        found = engine.api.inspect_container(plan.container)
    problems = container_differences(plan, found, podman=podman)
    if found.get("Image") not in tuple(images):
        problems.insert(0, "its image")
    if problems:
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise EngineError(
            f"container {plan.container} is not what its plan says: {', '.join(problems[:SHOWN])}{more}",
            f"it was not started; `docker inspect {plan.container}` shows it, where it is still there",
        )


def container_differences(plan: Plan, found: Mapping[str, Any], *, podman: bool = False) -> list[str]:
    """Names of the settings in which a container, as its engine inspects it, differs from its plan."""
    wanted = container_config(plan)
    config, host = found.get("Config") or {}, found.get("HostConfig") or {}
    problems = ["User"] if config.get("User") != wanted["User"] else []
    problems += _mounts(plan, found)
    if podman:
        return problems
    given = [name for name in ("Cmd", "Hostname", "Entrypoint") if name in wanted]
    problems += [name for name in given if config.get(name) != wanted[name]]
    problems += [name for name in _SUBSETS if not _pairs(wanted[name]) <= _pairs(config.get(name))]
    problems += [name for name in ("Volumes", "OnBuild", "Shell") if config.get(name)]
    if config.get("Healthcheck") not in _NO_HEALTH_CHECK:
        problems.append("Healthcheck")
    settings = wanted["HostConfig"]
    names = [name for name in dict.fromkeys((*settings, *_NEVER_SET)) if name != "Mounts"]
    return problems + [name for name in names if _plain(host.get(name)) != _plain(settings.get(name))]


def _mounts(plan: Plan, found: Mapping[str, Any]) -> list[str]:
    """Mounts that only the plan or only the container has, an image's own volumes included."""
    wanted = {(str(mount.source), mount.target, not mount.read_only) for mount in plan.mounts}
    mounted = {
        (item.get("Source"), item.get("Destination"), item.get("RW"))
        for item in found.get("Mounts") or ()
        if item.get("Type") != "tmpfs"
    }
    return [f"mount {one[1]}" for one in sorted(wanted ^ mounted, key=str)]


def _pairs(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return {f"{name}={text}" for name, text in value.items()}
    return set(value or ())


def _plain(value: Any) -> Any:
    """A setting in comparable form: "not set" has many spellings, and lists of limits have no order."""
    if isinstance(value, Mapping):
        return {name: plain for name, inner in value.items() if (plain := _plain(inner)) is not None} or None
    if isinstance(value, list | tuple):
        return sorted((_plain(inner) for inner in value), key=json.dumps) or None
    return value or None
