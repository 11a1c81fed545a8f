"""An image is what its program gives, or is refused: whatever was changed in its config or its manifest."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import tries

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import RepriseError, UsageError
from orchestrator.image.assembly.assemble import assemble
from orchestrator.image.base.base_pins import write_pin
from orchestrator.image.image_check import check_image, check_settings
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Base, Image
from orchestrator.image.stored_image import image_of
from orchestrator.settings import Settings
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import SourceTree

Change = Callable[[dict[str, Any], dict[str, Any]], Any]


@pytest.fixture
def image(settings: Settings, make_base: Any, program: Program, source: SourceTree) -> Image:
    return assemble(settings, make_base(), program, source)


@pytest.fixture(params=["pinned", "not pinned"])
def box(request: Any, settings: Settings, make_base: Any) -> Settings:
    if request.param == "pinned":
        base: Base = make_base()
        write_pin(settings.pins, "cpu", base)
    return settings


def rewritten(image: Image, change: Change) -> Image:
    """The image that a forger makes: digests fit, the program's label is the old one."""
    config, manifest = json.loads(image.config), json.loads(image.manifest)
    change(config, manifest)
    data = canonical_json(config)
    manifest["config"] |= {"digest": Digest.of(data), "size": len(data)}
    return image_of(ImageLayout(image_path(image)), canonical_json(manifest), data)


def image_path(image: Image) -> Any:
    path = image.layers[-1].path
    assert path is not None
    return path.parent.parent.parent


def test_what_was_assembled_is_what_its_program_gives(box: Settings, image: Image) -> None:
    check_image(box, image)
    check_settings("x", json.loads(image.config)["config"])
    noise = {"Hostname": "", "Volumes": None, "OnBuild": None, "Healthcheck": None, "ExposedPorts": {}}
    check_settings("x", json.loads(image.config)["config"] | noise)


def put(name: str, value: Any) -> Change:
    return lambda config, _: config["config"].__setitem__(name, value)


def add(*pairs: str) -> Change:
    return lambda config, _: config["config"]["Env"].extend(pairs)


FORGED: dict[str, Change] = {
    "Entrypoint": put("Entrypoint", ["/bin/sh", "-c", "echo not the program"]),
    "Entrypoint, another script": put("Entrypoint", ["/opt/python/bin/python", "-I", "/opt/reprise/x.py"]),
    "Entrypoint, relative": put("Entrypoint", ["python", "-I", "/opt/reprise/runtime/entry.py"]),
    "Entrypoint, upwards": put("Entrypoint", ["/opt/../bin/sh", "-I", "/opt/reprise/runtime/entry.py"]),
    "Cmd": put("Cmd", ["python", "other.py"]),
    "Volumes": put("Volumes", {"/var/lib/anon": {}}),
    "Healthcheck": put("Healthcheck", {"Test": ["CMD-SHELL", "id"], "Interval": 1_000_000_000}),
    "User": put("User", "0:0"),
    "StopSignal": put("StopSignal", "SIGKILL"),
    "OnBuild": put("OnBuild", ["RUN id"]),
    "Shell": put("Shell", ["/bin/evil"]),
    "WorkingDir": put("WorkingDir", "/"),
    "ExposedPorts": put("ExposedPorts", {"22/tcp": {}}),
    "Labels": lambda config, _: config["config"]["Labels"].__setitem__("io.podman.annotations.x", "1"),
    "LD_PRELOAD": add("LD_PRELOAD=/proc/self/cwd/poc.so"),
    "LD_LIBRARY_PATH": add("LD_LIBRARY_PATH=/proc/self/cwd"),
    "NVIDIA_DRIVER_CAPABILITIES": add("NVIDIA_DRIVER_CAPABILITIES=all"),
    "NVIDIA_DISABLE_REQUIRE": add("NVIDIA_DISABLE_REQUIRE=1"),
    "REPRISE_LOCALISE": add("REPRISE_LOCALISE=1:1"),
    "REPRISE_SEED": lambda config, _: config["config"]["Env"].append("REPRISE_SEED=8"),
    "PYTHONSTARTUP": add("PYTHONSTARTUP=/x.py"),
    "a determinism setting": lambda config, _: config["config"]["Env"].append("OMP_NUM_THREADS=64"),
    "no determinism settings": lambda config, _: config["config"].__setitem__("Env", []),
    "architecture": lambda config, _: config.__setitem__("architecture", "arm64"),
    "created": lambda config, _: config.__setitem__("created", "2026-01-01T00:00:00Z"),
    "container_config": lambda config, _: config.__setitem__("container_config", {"User": "0"}),
    "history": lambda config, _: config["history"][0].__setitem__("comment", "x"),
    "annotations": lambda _, manifest: manifest.__setitem__("annotations", {"x": "y"}),
    "subject": lambda _, manifest: manifest.__setitem__("subject", {"digest": "x"}),
    "urls": lambda _, manifest: manifest["layers"][0].__setitem__("urls", ["http://127.0.0.1/"]),
    "a compressed layer of ours": lambda _, manifest: manifest["layers"][-1].__setitem__(
        "mediaType", "application/vnd.oci.image.layer.v1.tar+gzip"
    ),
    "no runtime": lambda config, manifest: [
        item.pop(-2) for item in (config["history"], config["rootfs"]["diff_ids"], manifest["layers"])
    ],
    "a layer more": lambda config, manifest: [
        item.append(item[-1])
        for item in (config["history"], config["rootfs"]["diff_ids"], manifest["layers"])
    ],
}


@pytest.mark.parametrize("name", FORGED)
def test_another_config_under_the_same_program_is_refused(box: Settings, image: Image, name: str) -> None:
    forged = rewritten(image, FORGED[name]) if name != "Cmd" else None
    if forged is None:  # seen by whoever reads it
        with pytest.raises(UsageError):
            rewritten(image, FORGED[name])
        return
    with pytest.raises(UsageError, match="is not what its program gives"):
        check_image(box, forged)
    changed = json.loads(forged.config)["config"]
    if changed != json.loads(image.config)["config"]:
        with pytest.raises(UsageError, match="is not what its program gives"):
            check_settings("x", changed)


def test_a_program_with_a_loaders_variable_is_refused(
    settings: Settings, make_base: Any, program: Program, source: SourceTree
) -> None:
    """A label is the author's, too: `env` of a program may hold what no spec is let through with."""
    image = assemble(settings, make_base(), program, source)
    label = json.loads(program.to_label()) | {"env": {"LD_PRELOAD": "/proc/self/cwd/x.so"}}

    def change(config: dict[str, Any], _: Any) -> None:
        config["config"]["Labels"]["reprise.program"] = canonical_json(label).decode()
        config["config"]["Env"] = sorted([*config["config"]["Env"], "LD_PRELOAD=/proc/self/cwd/x.so"])

    with pytest.raises(UsageError, match="LD_PRELOAD"):
        check_image(settings, rewritten(image, change))


def test_other_layers_under_the_name_of_a_pinned_base_are_refused(
    settings: Settings, make_base: Any, program: Program, source: SourceTree
) -> None:
    base: Base = make_base()
    write_pin(settings.pins, "cpu", base)
    other = make_base("other", {"Env": ["X=1"]}, author="b")
    layers = tuple(
        one.model_copy(update={"digest": Digest.of(b"x"), "diff_id": Digest.of(b"x")}) for one in base.layers
    )
    for swapped in (base.model_copy(update={"layers": layers}), other.model_copy(update={"ref": base.ref})):
        with pytest.raises(UsageError, match="is not what its program gives"):
            check_image(settings, assemble(settings, swapped, program, source))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(leaf for key, inner in items for leaf in leaves(inner, (*path, key)))]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(data=st.data())
@settings(max_examples=tries(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_changed_is_refused(
    data: st.DataObject, image: Image, settings: Settings, make_base: Any
) -> None:
    """Any value anywhere in both documents: of a pinned base's image no other bytes are let through."""
    if not settings.pins.exists():
        write_pin(settings.pins, "cpu", make_base())
    documents = {"config": json.loads(image.config), "manifest": json.loads(image.manifest)}
    path = data.draw(st.sampled_from([leaf for leaf in leaves(documents) if len(leaf) > 1]))
    changed = copy.deepcopy(documents)
    target = changed
    for key in path[:-1]:
        target = target[key]
    if data.draw(st.booleans()):
        target[path[-1]] = data.draw(JSON)
    else:
        del target[path[-1]]
    config = canonical_json(changed["config"])
    if path[:2] != ("manifest", "config") and isinstance(changed["manifest"].get("config"), dict):
        changed["manifest"]["config"] |= {"digest": Digest.of(config), "size": len(config)}
    manifest = canonical_json(changed["manifest"])
    if (config, manifest) == (image.config, image.manifest):
        return
    with pytest.raises(RepriseError):
        check_image(settings, image_of(ImageLayout(settings.layout), manifest, config))
