"""Checks that an image is what its program gives: before it is loaded, after a pull, at an import.

Whoever made an image wrote its config. Beside the program it could name another entry point, a loader's
variable, a volume, a health check. So manifest and config are made again, from base, program, packages and
layers, and compared byte for byte. Environment and layers of the base are those of the pin where this box has
it. Else they are taken from the image, and refused where no base may have them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from orchestrator.digest import canonical_json
from orchestrator.errors import StoreError, UsageError
from orchestrator.image.assembly.assemble import NOT_FOR_JOBS, base_environment, documents
from orchestrator.image.base.base_pins import list_pins
from orchestrator.image.base.make_base import base_from_parts, config_problems, python_problems
from orchestrator.image.describe_image import describe_labels, numbers_of
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import (
    MEDIA_LAYER,
    SCRIPTS,
    Base,
    BaseRef,
    Image,
    Layer,
    LayerKind,
    PythonFacts,
)
from orchestrator.message_wording import listed
from orchestrator.settings import Settings
from orchestrator.structural_difference import differences

SHOWN = 4  # differences that a message names
_HINT = "it was changed after assembly, or made by another program: build it again from its spec"
_ORDER = re.compile(r"(base )+(wheel )*(wheels )?runtime source \Z")
# Set by nvidia/cuda images. The container toolkit reads such names on the host, before our checks.
_NVIDIA = {
    "NVIDIA_DRIVER_CAPABILITIES": re.compile(r"(compute|utility)(,(compute|utility))*\Z"),
    "NVIDIA_PRODUCT_NAME": re.compile(r"[\w .-]{1,100}\Z"),
    "NVIDIA_REQUIRE_CUDA": re.compile(r"[\w =<>.,!-]{1,4000}\Z"),
    "NVIDIA_TF32_OVERRIDE": re.compile(r"[01]\Z"),
    "NVIDIA_VISIBLE_DEVICES": re.compile(r"(all|none|void)\Z"),
}
# numpy's names of instruction sets depend on its version, which is known for a pinned base only.
_NUMPYS = ("2.4.0", "2.3.0", "1.26.0")


def check_image(settings: Settings, image: Image) -> None:
    """UsageError, which names the differences, for an image that is not what its program gives."""
    problems = [*_layer_problems(image), *_env_problems(image.program.env)]
    base = None if problems else _pinned(settings, image)
    if base is not None:
        if [*map(_facts, image.base_layers)] != [*map(_facts, base.layers)]:
            problems.append("its base layers are not those of the base that it names")
        candidates = [base]
    elif not problems:
        candidates, problems = _possible_bases(json.loads(image.config)["config"])
    if not problems:
        problems = _differences(image, candidates)
    if problems:
        raise _refused(str(image.digest), problems)


def check_settings(name: str, settings: Mapping[str, Any]) -> None:
    """As `check_image`, for an image that only an engine has; `settings` are its `Config`, inspected."""
    program, _, packages = describe_labels(settings.get("Labels") or {})
    candidates, problems = _possible_bases(settings)
    problems += _env_problems(program.env)
    if not problems:
        kept = {key: value for key, value in settings.items() if value}  # engines list what is not set, too
        numbers = numbers_of(settings["Labels"])
        made = (
            json.loads(documents(base, program, packages, (), numbers)[0])["config"] for base in candidates
        )
        problems = min((_changed_names(one, kept) for one in made), key=len)
    if problems:
        raise _refused(name, problems)


def _refused(name: str, problems: list[str]) -> UsageError:
    return UsageError(f"image {name} is not what its program gives: {listed(problems, SHOWN, '; ')}", _HINT)


def _layer_problems(image: Image) -> list[str]:
    kinds = "".join(f"{layer.kind.value} " for layer in image.layers)
    problems = [] if _ORDER.match(kinds) else [f"its layers are {kinds.strip() or 'none'}"]
    ours = image.own_layers
    if any((layer.digest, layer.media_type) != (layer.diff_id, MEDIA_LAYER) for layer in ours):
        problems.append("a layer of ours is compressed")
    if bool(image.packages) != any(layer.kind in (LayerKind.WHEEL, LayerKind.WHEELS) for layer in ours):
        problems.append("its layers do not hold the packages that it names")
    return problems


def _facts(layer: Layer) -> tuple[Any, ...]:
    return (layer.digest, layer.diff_id, layer.size, layer.media_type, layer.title)


def _env_problems(names: Mapping[str, str]) -> list[str]:
    return [f"env {name} may not be set by a job" for name in sorted(names) if name.startswith(NOT_FOR_JOBS)]


def _pinned(settings: Settings, image: Image) -> Base | None:
    """The base that the image names, if this box has pinned it and has its manifest and config."""
    pin = next((pin for pin in list_pins(settings) if pin.digest == image.base.digest), None)
    if pin is None:
        return None
    layout = ImageLayout(settings.layout)
    try:
        manifest, config = layout.read(pin.digest), layout.read(pin.config_digest)
    except StoreError:
        return None  # pinned, and never used here: to be read from a registry
    return base_from_parts(image.base.name, pin.reference, manifest, config, None, pin.python)


def _possible_bases(settings: Mapping[str, Any]) -> tuple[list[Base], list[str]]:
    """The bases that an image with these settings could have, and the problems of these."""
    try:
        program, ref, packages = describe_labels(settings["Labels"])
        executable = str(settings["Entrypoint"][0])
        environment = dict(str(pair).partition("=")[::2] for pair in settings["Env"])
    except (KeyError, TypeError, IndexError, AttributeError):
        return [], ["its entry point or its environment is missing"]
    python = PythonFacts(
        executable=executable, version="3.0.0", purelib="/", glibc="2.0", machine="x86_64", packages={}
    )
    try:
        numbers = numbers_of(settings["Labels"])
        added = base_environment(documents(_base(ref, {}, python), program, packages, (), numbers)[0])
    except (UsageError, ValueError) as error:
        return [], [str(error)]
    own = {name: value for name, value in environment.items() if name not in added}
    if "PATH" not in program.env:
        own["PATH"] = environment.get("PATH", "").removeprefix(f"{SCRIPTS}:")
    given = _config(own)
    problems = [*config_problems(given), *python_problems(python), *_nvidia_problems(own)]
    versions = [python.model_copy(update={"packages": {"numpy": one}}) for one in _NUMPYS]
    return [_base(ref, own, one) for one in versions], problems


def _config(environment: Mapping[str, str]) -> dict[str, Any]:
    pairs = [f"{name}={value}" for name, value in sorted(environment.items())]
    return {"architecture": "amd64", "os": "linux", "config": {"Env": pairs}}


def _base(ref: BaseRef, environment: Mapping[str, str], python: PythonFacts) -> Base:
    config = canonical_json(_config(environment))
    return Base(ref=ref, reference="", manifest=b"", config=config, layers=(), python=python)


def _nvidia_problems(environment: Mapping[str, str]) -> list[str]:
    return [
        f"ENV {name}: steers the container toolkit"
        for name, value in sorted(environment.items())
        if name.startswith("NVIDIA_") and not (name in _NVIDIA and _NVIDIA[name].match(value))
    ]


def _differences(image: Image, candidates: list[Base]) -> list[str]:
    """The differences to the nearest candidate; empty where one gives the image's exact bytes."""
    found = []
    for base in candidates:
        config, manifest = documents(base, image.program, image.packages, image.layers, image.numbers)
        if (config, manifest) == (image.config, image.manifest):
            return []
        changed = [*_changed_names(json.loads(config), json.loads(image.config))]
        changed += _changed_names(json.loads(manifest), json.loads(image.manifest))
        found.append(changed or ["its documents are not written as we write them"])
    return min(found, key=len)


def _changed_names(made: Any, found: Any) -> list[str]:
    """Names at which two documents differ, without their values: those are the author's."""
    names = []
    for path, one, other in differences(made, found):
        place, env, _ = path.partition("Env")
        if env:  # name its variables
            sides = [set(map(str, side if isinstance(side, list) else [side])) for side in (one, other)]
            variables = {pair.partition("=")[0] for pair in sides[0] ^ sides[1]}
            names += [f"{place}Env {variable}" for variable in sorted(variables)] or [f"{place}Env"]
        else:
            names.append(path or "all of it")
    return names
