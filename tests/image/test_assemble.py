from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import StoreError, UsageError
from orchestrator.image.assembly.assemble import assemble
from orchestrator.image.assembly.load_archive import full_archive, thin_archive
from orchestrator.image.describe_image import describe
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Image, LayerKind
from orchestrator.settings import Settings
from orchestrator.spec.jobfile.job_spec import Determinism, Level
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState, SourceFile, SourceTree


@pytest.fixture
def build(settings: Settings, make_base: Any, program: Program, source: SourceTree) -> Any:
    base = make_base("cpu")

    def assembled(**changes: Any) -> Image:
        parts = {"base": base, "program": program, "source": source, "wheels": ()} | changes
        return assemble(settings, **parts)

    return assembled


def test_layers_come_in_the_order_of_how_rarely_they_change(
    build: Any, make_wheel: Any, wheel_file: Any
) -> None:
    image = build(wheels=(wheel_file(make_wheel("spam")),))
    kinds = [layer.kind for layer in image.layers]
    assert kinds == [LayerKind.BASE, LayerKind.WHEELS, LayerKind.RUNTIME, LayerKind.SOURCE]
    assert image.packages == {"spam": "1.0"}


def test_manifest_and_config_are_one_whole(build: Any, settings: Settings) -> None:
    image = build()
    manifest, config = json.loads(image.manifest), json.loads(image.config)
    assert image.digest == Digest.of(image.manifest)
    assert manifest["config"]["digest"] == image.config_digest == Digest.of(image.config)
    assert manifest["config"]["size"] == len(image.config)
    assert [item["digest"] for item in manifest["layers"]] == [layer.digest for layer in image.layers]
    assert config["rootfs"]["diff_ids"] == [layer.diff_id for layer in image.layers]
    assert len(config["history"]) == len(image.layers)
    assert (canonical_json(manifest), canonical_json(config)) == (image.manifest, image.config)
    layout = ImageLayout(settings.layout)
    assert (layout.read(image.digest), layout.read(image.config_digest)) == (image.manifest, image.config)


def test_config_says_how_the_job_runs(build: Any, program: Program) -> None:
    job = program.model_copy(update={"env": {"BASE": "2", "MINE": "x"}})
    settings = json.loads(build(program=job).config)["config"]
    environment = dict(pair.split("=", 1) for pair in settings["Env"])
    assert settings["Entrypoint"] == ["/opt/python/bin/python", "-I", "/opt/reprise/runtime/entry.py"]
    assert (settings["Cmd"], settings["WorkingDir"], settings["User"]) == (
        ["python", "train.py"],
        "/workspace",
        "65532:65532",
    )
    assert environment["PATH"] == "/opt/reprise/bin:/opt/python/bin:/usr/bin:/bin"
    assert environment["REPRISE_PARAMS"] == '{"lr":0.1}'
    assert environment["REPRISE_REPORT"] == "/run/reprise"
    assert (environment["REPRISE_SEED"], environment["REPRISE_LEVEL"]) == ("7", "strict")
    assert (environment["REPRISE_SOURCE"], environment["REPRISE_SITE"]) == (
        "/opt/reprise/source",
        "/opt/reprise/site",
    )
    assert (environment["BASE"], environment["MINE"]) == ("2", "x")
    assert environment["PYTHONHASHSEED"] == "0"
    assert settings["Env"] == sorted(settings["Env"], key=lambda pair: pair.partition("=")[0])


def test_the_numpy_of_the_wheels_goes_before_the_bases(build: Any, make_wheel: Any, wheel_file: Any) -> None:
    old = json.loads(build(wheels=(wheel_file(make_wheel("numpy", "1.26.4")),)).config)["config"]["Env"]
    new = json.loads(build().config)["config"]["Env"]
    of_old, of_new = ([pair for pair in found if pair.startswith("NPY_")] for found in (old, new))
    assert of_old != of_new


@pytest.mark.parametrize("name", ["LD_PRELOAD", "NVIDIA_VISIBLE_DEVICES", "REPRISE_SEED"])
def test_variables_that_are_not_the_jobs_are_refused(build: Any, program: Program, name: str) -> None:
    with pytest.raises(UsageError, match=name):
        build(program=program.model_copy(update={"env": {name: "x"}}))


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"lr": 0.2}},
        {"params": {"lr": 1}},
        {"seed": 8},
        {"command": ("python", "other.py")},
        {"env": {"A": "1"}},
        {"inputs": {"data": Digest.of(b"x")}},
        {"outputs": ("*.pt",)},
        {"gpus": 1},
        {"determinism": Determinism(level=Level.OFF)},
        {"determinism": Determinism(threads=2)},
    ],
)
def test_every_part_of_the_program_is_in_the_digest_and_in_no_layer(
    build: Any, program: Program, change: dict[str, Any]
) -> None:
    first, second = build(), build(program=program.model_copy(update=change))
    assert first.digest != second.digest
    assert first.config_digest != second.config_digest
    assert first.layers == second.layers


def test_a_code_change_moves_only_the_last_layer(build: Any, make_wheel: Any, wheel_file: Any) -> None:
    wheels = (wheel_file(make_wheel("spam")),)
    first = build(wheels=wheels)
    second = build(
        wheels=wheels, source=SourceTree(files=(SourceFile(path="train.py", data=b"print('hallo')\n"),))
    )
    assert first.digest != second.digest
    assert first.layers[:-1] == second.layers[:-1]
    assert first.layers[-1].size == second.layers[-1].size  # a same-size edit
    assert first.layers[-1].digest != second.layers[-1].digest


def test_the_git_state_is_not_in_the_digest(build: Any, source: SourceTree) -> None:
    marked = source.model_copy(update={"git": GitState(commit="abc", dirty=True)})
    assert build(source=marked).digest == build(source=source).digest


def test_an_image_describes_itself(build: Any, program: Program, make_wheel: Any, wheel_file: Any) -> None:
    image = build(wheels=(wheel_file(make_wheel("spam")),))
    assert describe(image.config) == (program, image.base, {"spam": "1.0"})


def test_what_is_not_ours_is_not_described(build: Any) -> None:
    config = json.loads(build().config)

    def changed(**labels: str | None) -> bytes:
        merged = config["config"]["Labels"] | {f"reprise.{name}": text for name, text in labels.items()}
        kept = {name: text for name, text in merged.items() if text is not None}
        return canonical_json(config | {"config": config["config"] | {"Labels": kept}})

    cases = [
        (b"no json", "not assembled by Reprise"),
        (b"[]", "not assembled by Reprise"),
        (b'{"config":{"Labels":null}}', "not assembled by Reprise"),
        (changed(assembly=None), "not assembled by Reprise"),
        (changed(assembly="999"), "assembly version '999'"),
        (changed(program=None), "cannot be read"),
        (changed(program='{"format":2}'), "cannot be read"),
        (changed(base="{}"), "cannot be read"),
        (changed(packages="[1]"), "cannot be read"),
        (canonical_json(config | {"config": config["config"] | {"Cmd": ["evil"]}}), "changed after assembly"),
    ]
    for data, said in cases:
        with pytest.raises(UsageError, match=said):
            describe(data)


def opened(chunks: Any) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        found = {}
        for info in archive.getmembers():
            stream = archive.extractfile(info)
            found[info.name] = stream.read() if stream else b""
        return found


def test_the_thin_archive_has_both_forms_and_only_our_layers(build: Any) -> None:
    image = build()
    found = opened(thin_archive(image))
    blobs = {f"blobs/sha256/{layer.digest.hex}" for layer in image.layers[1:]}
    config, manifest = (f"blobs/sha256/{digest.hex}" for digest in (image.config_digest, image.digest))
    assert set(found) == {"oci-layout", "index.json", "manifest.json", config, manifest} | blobs
    for name in (config, manifest, *blobs):
        assert Digest.of(found[name]).hex == name.rpartition("/")[2]
    assert json.loads(found["manifest.json"]) == [
        {
            "Config": config,
            "RepoTags": [f"reprise:{image.digest.hex}"],
            "Layers": [f"blobs/sha256/{layer.digest.hex}" for layer in image.layers],
        }
    ]
    (entry,) = json.loads(found["index.json"])["manifests"]
    assert (entry["digest"], entry["size"]) == (image.digest, len(image.manifest))
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == image.digest.hex
    assert entry["annotations"]["io.containerd.image.name"].endswith(f"/reprise:{image.digest.hex}")


def test_layers_that_the_engine_has_can_be_left_out(build: Any) -> None:
    image = build()
    found = opened(thin_archive(image, held=len(image.layers) - 1))
    assert f"blobs/sha256/{image.layers[-1].digest.hex}" in found
    assert len(found) == 6


def test_the_full_archive_has_every_layer_or_says_which_is_missing(build: Any, settings: Settings) -> None:
    image = build()
    found = opened(full_archive(settings, image))
    assert all(f"blobs/sha256/{layer.digest.hex}" in found for layer in image.layers)
    base = ImageLayout(settings.layout).path(image.layers[0].digest)
    data = base.read_bytes()
    base.write_bytes(data[:-1])
    with pytest.raises(StoreError, match=image.layers[0].digest) as caught:
        full_archive(settings, image)
    assert "base cpu" in (caught.value.hint or "")
    base.unlink()
    with pytest.raises(StoreError, match=image.layers[0].digest):
        full_archive(settings, image)
    opened(thin_archive(image))


def test_an_archive_is_a_stream(build: Any, tmp_path: Path) -> None:
    big = SourceTree(files=(SourceFile(path="big.bin", data=bytes(20 << 20)),))
    pieces = [len(piece) for piece in thin_archive(build(source=big))]
    assert sum(pieces) > 20 << 20
    assert max(pieces) <= 1 << 20
