"""Comparing a created container with its plan, setting by setting, before it is started.

An image can bring settings of its own (volumes, a health check). An engine can leave out a setting that it
does not know. A container of the attempt's name may be there already.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.errors import EngineError
from orchestrator.message_wording import listed
from orchestrator.run.attempt_model import Plan
from orchestrator.run.engine.container_config import container_config
from orchestrator.run.engine.engine import Engine
from orchestrator.run.engine.engine_errors import guard
from orchestrator.run.engine.podman import check_mounts

# Host settings that no plan sets, because they open the host to the container.
_NEVER_SET = (
    *("Binds", "CapAdd", "CgroupParent", "DeviceCgroupRules", "Devices", "GroupAdd", "Links"),
    *("OomKillDisable", "OomScoreAdj", "PidMode", "PortBindings", "Privileged", "PublishAllPorts"),
    *("Sysctls", "UTSMode", "UsernsMode", "VolumeDriver", "VolumesFrom"),
)
_SUBSETS = ("Env", "Labels")  # the image adds its own
_NO_HEALTH_CHECK = ({"Test": ["NONE"]}, None)
SHOWN = 4  # settings that the message names


def check_created(engine: Engine, plan: Plan, images: Iterable[str]) -> None:
    """EngineError where the container differs from its plan, or its image is not in `images` (engine ids)."""
    with guard(f"looking at container {plan.container}"):
        found = engine.api.inspect_container(plan.container)
    problems = container_differences(plan, found, podman=engine.podman)
    if engine.podman and not problems:
        check_mounts(engine.api, plan)
    if found.get("Image") not in tuple(images):
        problems.insert(0, "its image")
    if problems:
        raise EngineError(
            f"container {plan.container} is not what its plan says: {listed(problems, SHOWN)}",
            f"it was not started; `docker inspect {plan.container}` shows it, where it is still there",
        )


def container_differences(plan: Plan, found: Mapping[str, Any], *, podman: bool = False) -> list[str]:
    """Names of the settings in which a container, as its engine inspects it, differs from its plan."""
    wanted = container_config(plan)
    config, host = found.get("Config") or {}, found.get("HostConfig") or {}
    problems = ["User"] if config.get("User") != wanted["User"] else []
    problems += _mounts(plan, found)
    settings = wanted["HostConfig"]
    if podman:
        config, host, settings = podman_form(config), podman_form(host), podman_form(settings)
        planned = {one["Name"] for one in settings["Ulimits"]}  # others are of the box's containers.conf
        host["Ulimits"] = [one for one in host.get("Ulimits") or () if one["Name"] in planned]
    given = [name for name in ("Cmd", "Hostname", "Entrypoint") if name in wanted]
    problems += [name for name in given if config.get(name) != wanted[name]]
    problems += [name for name in _SUBSETS if not _pairs(wanted[name]) <= _pairs(config.get(name))]
    problems += [name for name in ("Volumes", "OnBuild", "Shell") if config.get(name)]
    if config.get("Healthcheck") not in _NO_HEALTH_CHECK:
        problems.append("Healthcheck")
    names = [name for name in dict.fromkeys((*settings, *_NEVER_SET)) if name != "Mounts"]
    return problems + [name for name in names if _plain(host.get(name)) != _plain(settings.get(name))]


# What Podman's default set of capabilities has, and so what it says was dropped where all of them were.
_ALL_DROPPED = {
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID"),
    *("SETPCAP", "SETUID", "SYS_CHROOT"),
}
_NOT_SAID = ("Sysctls", "Binds")  # by Podman: no sysctls, and each mount a second time
_OWN = ("PidMode", "UTSMode", "UsernsMode")  # "private" is what Docker calls ""


def podman_form(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a plan or of a container that Podman inspects, in a form in which they can be compared."""
    found = {name: value for name, value in settings.items() if name not in _NOT_SAID}
    for name in _OWN:
        if found.get(name) == "private":
            found[name] = ""
    if set(found.get("CapDrop") or ()) >= _ALL_DROPPED:
        found["CapDrop"] = ["ALL"]
    if found.get("Ulimits"):
        found["Ulimits"] = [
            one | {"Name": str(one.get("Name")).lower().removeprefix("rlimit_")} for one in found["Ulimits"]
        ]
    if found.get("Tmpfs"):
        found["Tmpfs"] = {
            place: ",".join(sorted(set(options.split(",")) - {"rprivate", "tmpcopyup"}))
            for place, options in found["Tmpfs"].items()
        }
    # Podman is asked for k8s-file, answers json-file, and does not tell the bound.
    kind = (found.get("LogConfig") or {}).get("Type")
    if kind in ("k8s-file", "json-file"):
        found["LogConfig"] = {"Type": "k8s-file"}
    if (found.get("Healthcheck") or {}).get("Test") == ["NONE"]:
        found["Healthcheck"] = {"Test": ["NONE"]}
    return found


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
