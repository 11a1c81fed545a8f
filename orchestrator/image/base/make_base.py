"""Makes a Base of its parts, and checks them: every digest, and what no base may contain.

Pure. `base_from_parts` is called before a base is pinned, and again by `resolve_base` each time it is used,
so that an edited blob or pin is found before anything is built over it.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Any

from orchestrator.digest import Digest
from orchestrator.errors import StoreError, UsageError
from orchestrator.image.image_model import MEDIA_LAYER, Base, BaseRef, Layer, LayerKind, PythonFacts

# Docker's names for the same bytes; the manifests that we write are OCI throughout.
_LAYER_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar": MEDIA_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{MEDIA_LAYER}+gzip",
    MEDIA_LAYER: MEDIA_LAYER,
    f"{MEDIA_LAYER}+gzip": f"{MEDIA_LAYER}+gzip",
    f"{MEDIA_LAYER}+zstd": f"{MEDIA_LAYER}+zstd",
}
_MAX_SHEBANG = 120  # bytes of an interpreter's path; the kernel cuts the line at 127 on old ones
_SEGMENT = re.compile(r"[A-Za-z0-9._@%+-]+\Z")


def base_from_parts(
    name: str,
    reference: str,
    manifest: bytes,
    config: bytes,
    layers: tuple[Layer, ...] | None,
    python: PythonFacts,
) -> Base:
    """The base that the manifest's and config's exact bytes describe, as probed by `python`.

    `layers`, if given, are checked against the bytes, and their paths are kept. Without them the layers come
    from the bytes alone and need not be on this box. StoreError: the parts do not belong together.
    UsageError: the base sets what no base may.
    """
    described = _layers(manifest, config)
    if layers is not None:
        facts = [[(item.digest, item.diff_id, item.size) for item in one] for one in (layers, described)]
        if facts[0] != facts[1]:
            raise StoreError(f"the layers given for base {name} are not those of its manifest")
        paths = [layer.path for layer in layers]
        pairs = zip(described, paths, strict=True)
        described = tuple(layer.model_copy(update={"path": path}) for layer, path in pairs)
    problems = [*config_problems(json.loads(config)), *python_problems(python)]
    if problems:
        raise UsageError(
            "\n".join([f"{reference} cannot be a base:", *(f"  {problem}" for problem in problems)]),
            "make an image without them over it, and pin that",
        )
    ref = BaseRef(name=name, digest=Digest.of(manifest), config_digest=Digest.of(config))
    return Base(
        ref=ref, reference=reference, manifest=manifest, config=config, layers=described, python=python
    )


def _layers(manifest: bytes, config: bytes) -> tuple[Layer, ...]:
    try:
        parsed, described = json.loads(manifest), json.loads(config)
        named = Digest(parsed["config"]["digest"])
        entries = [
            (item["mediaType"], Digest(item["digest"]), int(item["size"])) for item in parsed["layers"]
        ]
        diff_ids = [Digest(text) for text in described["rootfs"]["diff_ids"]]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"not the manifest and config of an image: {error!r}") from None
    if named != Digest.of(config):
        raise StoreError(f"the base's manifest names config {named}, not {Digest.of(config)}")
    if len(entries) != len(diff_ids) or not entries:
        raise StoreError(f"the base has {len(entries)} layers in its manifest, {len(diff_ids)} in its config")
    layers = []
    for number, ((media, digest, size), diff_id) in enumerate(zip(entries, diff_ids, strict=True), 1):
        if media not in _LAYER_TYPES:
            raise UsageError(f"a layer of the base has a type that no engine here takes: {media}")
        if _LAYER_TYPES[media] == MEDIA_LAYER and digest != diff_id:
            raise StoreError(f"an uncompressed layer of the base has two digests: {digest}, {diff_id}")
        layers.append(
            Layer(
                kind=LayerKind.BASE,
                digest=digest,
                diff_id=diff_id,
                size=size,
                media_type=_LAYER_TYPES[media],
                title=f"base {number}/{len(entries)}",
            )
        )
    return tuple(layers)


def config_problems(config: dict[str, Any]) -> list[str]:
    problems = []
    platform = f"{config.get('os')}/{config.get('architecture')}"
    if platform != "linux/amd64":
        problems.append(f"it is for {platform}, not linux/amd64")
    settings = config.get("config") or {}
    if settings.get("Volumes"):
        volumes = ", ".join(sorted(settings["Volumes"]))
        problems.append(f"VOLUME {volumes}: a writable folder in spite of a read-only root")
    if settings.get("OnBuild"):
        problems.append("ONBUILD: orders to a builder")
    names = [pair.partition("=")[0] for pair in settings.get("Env") or []]
    problems += [f"ENV {name}: changes what every program loads" for name in names if name.startswith("LD_")]
    problems += [f"ENV {name}: belongs to Reprise" for name in names if name.startswith("REPRISE_")]
    problems += [
        f"ENV {name}: changes Python for the job but not for the entry point"
        for name in names
        if name in ("PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT")
    ]
    return problems


def python_problems(python: PythonFacts) -> list[str]:
    problems = []
    if python.machine != "x86_64":
        problems.append(f"its Python is for {python.machine}, not x86_64")
    for what, path in (("interpreter", python.executable), ("site-packages folder", python.purelib)):
        parts = PurePosixPath(path).parts
        plain = all(_SEGMENT.match(part) and part != ".." for part in parts[1:])
        if parts[:1] != ("/",) or not plain or len(path) > _MAX_SHEBANG:
            problems.append(f"its {what} has a path that scripts cannot name: {path!r}")
    if not re.match(r"3\.\d+\.\d+", python.version):
        problems.append(f"its Python is {python.version}, not 3")
    if not re.match(r"2\.\d+\Z", python.glibc):
        problems.append(f"its C library is not glibc 2: {python.glibc!r}")
    return problems
