"""A created container beside its plan, before it is started: what the engine made of it, setting by setting.

An image can bring settings of its own (volumes, a health check), an engine can leave out what it does not
know, and a container of the attempt's name may be there already. None of that starts unseen.
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

# Of a container's host settings, what opens the host and no plan ever sets.
_NEVER = (
    *(
        "Binds",
        "CapAdd",
        "CgroupParent",
        "DeviceCgroupRules",
        "Devices",
        "GroupAdd",
        "Links",
        "OomKillDisable",
    ),
    *("OomScoreAdj", "PidMode", "PortBindings", "Privileged", "PublishAllPorts", "Sysctls", "UTSMode"),
    *("UsernsMode", "VolumeDriver", "VolumesFrom"),
)
_SUBSETS = ("Env", "Labels")  # the image adds its own
_QUIET = ({"Test": ["NONE"]}, None)  # health checks that check nothing
SHOWN = 4


def check_created(engine: Engine, plan: Plan, images: Iterable[str], *, podman: bool = False) -> None:
    """EngineError where the container is not the plan's, or of none of `images` (engines' ids).

    Podman tells of the same settings in other words: there only image, user and mounts are compared.
    """
    with guard(f"looking at container {plan.container}"):
        found = engine.api.inspect_container(plan.container)
    problems = container_differences(plan, found, brief=podman)
    if found.get("Image") not in tuple(images):
        problems.insert(0, "its image")
    if problems:
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise EngineError(
            f"container {plan.container} is not what its plan says: {', '.join(problems[:SHOWN])}{more}",
            f"it was not started; `docker inspect {plan.container}` shows it, where it is still there",
        )


def container_differences(plan: Plan, found: Mapping[str, Any], *, brief: bool = False) -> list[str]:
    """Names of the settings in which a container, as its engine inspects it, parts from its plan."""
    wanted = container_config(plan)
    config, host = found.get("Config") or {}, found.get("HostConfig") or {}
    problems = [name for name in ("User",) if config.get(name) != wanted[name]]
    problems += _mounts(plan, found)
    if brief:
        return problems
    problems += [name for name in ("Cmd", "Hostname") if config.get(name) != wanted[name]]
    if "Entrypoint" in wanted and config.get("Entrypoint") != wanted["Entrypoint"]:
        problems.append("Entrypoint")
    problems += [name for name in _SUBSETS if not _pairs(wanted[name]) <= _pairs(config.get(name))]
    problems += [name for name in ("Volumes", "OnBuild", "Shell") if config.get(name)]
    if config.get("Healthcheck") not in _QUIET:
        problems.append("Healthcheck")
    for name, value in wanted["HostConfig"].items():
        if name != "Mounts" and _plain(host.get(name)) != _plain(value):
            problems.append(name)
    return problems + [name for name in _NEVER if name not in wanted["HostConfig"] and _plain(host.get(name))]


def _mounts(plan: Plan, found: Mapping[str, Any]) -> list[str]:
    """Mounts that the plan and the container do not share, an image's own volumes included."""
    wanted = {(str(mount.source), mount.target, not mount.read_only) for mount in plan.mounts}
    there = {
        (item.get("Source"), item.get("Destination"), item.get("RW"))
        for item in found.get("Mounts") or ()
        if item.get("Type") != "tmpfs"
    }
    return [f"mount {one[1]}" for one in sorted(wanted ^ there, key=str)]


def _pairs(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return {f"{name}={text}" for name, text in value.items()}
    return set(value or ())


def _plain(value: Any) -> Any:
    """Comparable: what is not set has many spellings, and lists of limits have no order."""
    if isinstance(value, Mapping):
        return {name: plain for name, inner in value.items() if (plain := _plain(inner)) is not None} or None
    if isinstance(value, list | tuple):
        return sorted((_plain(inner) for inner in value), key=json.dumps) or None
    return value or None
