"""An image found again by its digest: the same value, or nothing, or a question."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.digest import canonical_json
from orchestrator.errors import UsageError
from orchestrator.image import stored_image as stored_module
from orchestrator.image.assembly.assemble import assemble
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import MEDIA_MANIFEST, Image
from orchestrator.image.stored_image import stored_image
from orchestrator.settings import Settings
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import SourceTree


@pytest.fixture
def image(
    settings: Settings, make_base: Any, program: Program, source: SourceTree, make_wheel: Any, wheel_file: Any
) -> Image:
    wheels = (wheel_file(make_wheel()), wheel_file(make_wheel("ham", "2.0")))
    return assemble(settings, base=make_base(), program=program, source=source, wheels=wheels)


def without_paths(image: Image) -> Image:
    """A base's layers have no path in a fresh image: nobody needed their bytes yet."""
    layers = tuple(layer.model_copy(update={"path": None}) for layer in image.layers)
    return image.model_copy(update={"layers": layers})


def test_what_was_assembled_is_found_as_it_was(settings: Settings, image: Image) -> None:
    for digest in (image.digest, image.digest[:19], image.digest.hex[:8]):
        found = stored_image(settings, digest)
        assert found is not None
        assert without_paths(found) == without_paths(image)
        assert [layer.path for layer in found.layers[1:]] == [layer.path for layer in image.layers[1:]]


def test_what_was_not_is_not(settings: Settings, image: Image) -> None:
    assert stored_image(settings, "sha256:" + "0" * 64) is None
    for layer in image.layers:
        assert stored_image(settings, layer.digest) is None
    assert stored_image(settings, image.config_digest) is None
    assert stored_image(settings, image.base.digest) is None, "a base is no job"


def test_a_layer_that_is_gone_or_cut_has_no_path(settings: Settings, image: Image) -> None:
    _, first, second, *rest = image.layers
    assert first.path is not None and second.path is not None
    first.path.unlink()
    with second.path.open("r+b") as stream:
        stream.truncate(1)
    found = stored_image(settings, image.digest)
    assert found is not None
    assert [layer.path for layer in found.layers[1:]] == [None, None, *(layer.path for layer in rest)]


@pytest.mark.parametrize("fault", ["flipped", "config gone", "config flipped"])
def test_damage_is_never_an_image(settings: Settings, image: Image, fault: str) -> None:
    layout = ImageLayout(settings.layout)
    path = layout.path(image.digest if fault == "flipped" else image.config_digest)
    if fault == "config gone":
        path.unlink()
    else:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    assert stored_image(settings, image.digest) is None


@pytest.mark.parametrize(
    "data",
    [b"[" * 200_000, b"[]", b"null", b"\xff\xfe", b"{}", b'{"mediaType": 1}'],
    ids=["deep", "list", "null", "binary", "empty", "number"],
)
def test_other_blobs_are_passed_over(settings: Settings, image: Image, data: bytes) -> None:
    assert stored_image(settings, ImageLayout(settings.layout).put_bytes(data)) is None


def test_a_manifest_whose_config_is_no_digest_is_passed_over(settings: Settings) -> None:
    for config in ({}, {"digest": 5}, {"digest": "../../etc/passwd"}, None):
        data = canonical_json({"mediaType": MEDIA_MANIFEST, "config": config})
        assert stored_image(settings, ImageLayout(settings.layout).put_bytes(data)) is None


def test_a_beginning_that_fits_two_is_a_question(
    settings: Settings, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = image.digest
    monkeypatch.setattr(stored_module.ImageLayout, "find", lambda self, prefix: [image.digest, another])
    with pytest.raises(UsageError, match="fits 2 images") as caught:
        stored_image(settings, image.digest[:12])
    assert caught.value.hint == "give more digits"
