from __future__ import annotations

import pytest
from support.tar_files import content, members

from orchestrator.errors import UsageError
from orchestrator.image.assembly.layers import runtime_layer, source_layer
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import LayerKind, PythonFacts
from orchestrator.image.payload_releases import payload
from orchestrator.spec.source.source_tree import SourceFile, SourceTree


def tree(*files: SourceFile) -> SourceTree:
    return SourceTree(files=files)


def test_source_files_keep_mode_and_links(layout: ImageLayout) -> None:
    layer = source_layer(
        layout,
        tree(
            SourceFile(path="run.sh", data=b"#!/bin/sh\n", executable=True),
            SourceFile(path="lib/a.py", data=b"A"),
            SourceFile(path="lib/link", data=b"../run.sh", symlink=True),
            SourceFile(path="donn\u00e9es.txt", data=b"\xff"),
        ),
    )
    assert layer.path is not None
    assert (layer.kind, layer.digest, layer.size) == (
        LayerKind.SOURCE,
        layer.diff_id,
        layer.path.stat().st_size,
    )
    found = {name: info.mode for name, info in members(layer).items()}
    assert found == {
        "opt/reprise": 0o755,
        "opt/reprise/source": 0o755,
        "opt/reprise/source/donn\u00e9es.txt": 0o644,
        "opt/reprise/source/lib": 0o755,
        "opt/reprise/source/lib/a.py": 0o644,
        "opt/reprise/source/lib/link": 0o777,
        "opt/reprise/source/run.sh": 0o755,
    }
    assert content(layer, "opt/reprise/source/donn\u00e9es.txt") == b"\xff"


def test_an_empty_source_still_has_its_folder(layout: ImageLayout) -> None:
    layer = source_layer(layout, tree())
    assert list(members(layer)) == ["opt/reprise", "opt/reprise/source"]


@pytest.mark.parametrize(
    "files",
    [
        [SourceFile(path=".wh..wh..opq", data=b"")],
        [SourceFile(path="a/.wh.b", data=b"")],
        [SourceFile(path="../escape", data=b"")],
        [SourceFile(path="/etc/passwd", data=b"")],
        [SourceFile(path="Data", data=b""), SourceFile(path="data", data=b"")],
        [SourceFile(path="a", data=b""), SourceFile(path="a", data=b"")],
        [SourceFile(path="a", data=b".", symlink=True), SourceFile(path="a/b", data=b"")],
        [SourceFile(path="out", data=b"../../etc", symlink=True)],  # inside the image, outside the source
        [SourceFile(path="out", data=b"/etc", symlink=True)],
    ],
)
def test_hostile_sources_are_refused(layout: ImageLayout, files: list[SourceFile]) -> None:
    with pytest.raises(UsageError):
        source_layer(layout, tree(*files))


def test_runtime_layer_holds_the_modules_the_pth_and_the_mount_targets(
    layout: ImageLayout, python: PythonFacts
) -> None:
    files = payload()
    layer = runtime_layer(layout, python, files)
    found = members(layer)
    pth = "opt/python/lib/python3.11/site-packages/reprise.pth"
    assert content(layer, pth) == files["reprise.pth"]
    modules = {f"opt/reprise/runtime/{name}" for name in files if name != "reprise.pth"}
    folders = {name.rpartition("/")[0] for name in modules} | {"inputs", "opt/reprise", "workspace"}
    assert set(found) == {pth, "etc", "etc/group", "etc/passwd"} | folders | modules
    assert found["workspace"].mode == 0o777
    assert not any(name.endswith(".pyc") for name in found)


def test_a_payload_without_its_pth_is_an_error(layout: ImageLayout, python: PythonFacts) -> None:
    with pytest.raises(UsageError, match="incomplete"):
        runtime_layer(layout, python, {"entry.py": b""})
