"""An engine's export becomes the same layers whatever the builder and the engine left in it."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tar_files import content, members

from orchestrator.digest import Digest
from orchestrator.errors import StoreError
from orchestrator.image.base.base_manifest import saved_parts
from orchestrator.image.base.normalise import Node, layer_chunks, read_tree, split

CAPABILITY = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\xff\x80".decode("utf-8", "surrogateescape")


def entry(path: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: object):
    info = tarfile.TarInfo(path)
    info.type, info.size = kind, len(data)
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for name, value in fields.items():
        setattr(info, name, value)
    return info, data


def tree_of(entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> tuple[list[Node], io.BufferedRandom]:
    spool = TemporaryFile()  # noqa: SIM115  # the caller reads from it
    with tarfile.open(fileobj=spool, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    spool.seek(0)
    return read_tree(spool), spool


def layer_of(entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    nodes, spool = tree_of(entries)
    with spool:
        return b"".join(layer_chunks(nodes))


def system() -> list[tuple[tarfile.TarInfo, bytes]]:
    return [
        entry("bin", kind=tarfile.SYMTYPE, linkname="usr/bin", mode=0o777),
        entry("tmp", kind=tarfile.DIRTYPE, mode=0o1777),
        entry("usr", kind=tarfile.DIRTYPE),
        entry("usr/bin", kind=tarfile.DIRTYPE),
        entry("usr/bin/su", b"su", mode=0o4755),
        entry("usr/bin/ping", b"ping", pax_headers={"SCHILY.xattr.security.capability": CAPABILITY}),
        entry("var", kind=tarfile.DIRTYPE),
        entry("var/mail", kind=tarfile.DIRTYPE, gid=8, mode=0o2775),
        entry("usr/bin/F\u0151", b"name"),
    ]


def test_owners_modes_links_and_capabilities_stay():
    found = members(layer_of(system()))
    assert found["usr/bin/su"].mode == 0o4755
    assert (found["var/mail"].gid, found["var/mail"].mode) == (8, 0o2775)
    assert found["tmp"].mode == 0o1777
    assert found["bin"].linkname == "usr/bin"
    assert found["usr/bin/ping"].pax_headers["SCHILY.xattr.security.capability"] == CAPABILITY


@given(st.randoms(use_true_random=False), st.integers(0, 2**33))
def test_order_and_times_leave_no_trace(chance: random.Random, moment: int):
    entries = [
        entry(
            f"{info.name}",
            data,
            info.type,
            **{k: getattr(info, k) for k in ("mode", "gid", "linkname", "pax_headers")},
        )
        for info, data in system()
    ]
    for info, _ in entries:
        info.mtime, info.uname, info.gname = chance.choice([moment, moment / 7]), "someone", "users"
    chance.shuffle(entries)
    assert layer_of(entries) == layer_of(system())


def test_the_bytes_are_the_golden_ones():
    """A change here is a new NORMALISE_VERSION, and a new digest for every base that is made from then on."""
    assert Digest.of(layer_of(system())).short == "69bcb1dbcc3b"


@pytest.mark.parametrize(
    "path",
    [
        ".dockerenv",
        "dev/console",
        "proc/1",
        "run/lock",
        "tmp/pip-x",
        "var/log/dpkg.log",
        "var/log/apt/term.log",
        "var/cache/ldconfig/aux-cache",
        "var/cache/apt/pkgcache.bin",
        "var/lib/apt/lists/lock",
        "var/lib/dpkg/status-old",
        "var/cache/debconf/templates.dat-old",
        "root/.cache/pip/x",
        "var/lib/dbus/machine-id",
    ],
)
def test_what_a_builder_leaves_is_dropped(path: str):
    assert layer_of([*system(), entry(path, b"7 o'clock")]) == layer_of(system())


def test_folders_of_what_is_dropped_stay():
    folders = [
        entry(path, kind=tarfile.DIRTYPE) for path in ("var/log", "var/log/apt", "dev", "dev/pts", "proc")
    ]
    found = members(layer_of(folders))
    assert sorted(found) == ["dev", "proc", "var/log", "var/log/apt"]


def test_device_nodes_and_fifos_are_dropped():
    nodes = [entry("lib/null", kind=tarfile.CHRTYPE), entry("lib/pipe", kind=tarfile.FIFOTYPE)]
    assert members(layer_of(nodes)) == {}


def test_a_file_that_podman_leaves_out_of_its_export_is_there_all_the_same() -> None:
    """Docker makes all three in each container that it exports."""
    folder = entry("etc", kind=tarfile.DIRTYPE)
    three = [entry(f"etc/{name}", b"of the engine") for name in ("hostname", "hosts", "resolv.conf")]
    whole = layer_of([folder, *three])
    assert layer_of([folder, three[0], three[2]]) == whole
    assert layer_of([folder]) == whole


@pytest.mark.parametrize("path", ["etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/machine-id"])
def test_what_names_the_machine_is_emptied(path: str):
    layer = layer_of([entry(path, b"192.0.2.1 builder", mode=0o755)])
    assert (members(layer)[path].mode, content(layer, path)) == (0o644, b"")
    linked = layer_of([entry(path, kind=tarfile.SYMTYPE, linkname="../run/x")])
    assert linked == layer


def test_the_first_name_of_a_file_holds_its_content():
    late = [entry("usr/z", b"perl", mode=0o755), entry("usr/a", kind=tarfile.LNKTYPE, linkname="usr/z")]
    early = [entry("usr/a", b"perl", mode=0o755), entry("usr/z", kind=tarfile.LNKTYPE, linkname="usr/a")]
    layer = layer_of(late)
    assert layer == layer_of(early)
    found = members(layer)
    assert found["usr/a"].isreg()
    assert (found["usr/z"].islnk(), found["usr/z"].linkname) == (True, "usr/a")
    assert content(layer, "usr/z") == b"perl"


def test_a_link_between_layers_becomes_a_file():
    nodes, spool = tree_of([entry("opt/x", b"same"), entry("usr/x", kind=tarfile.LNKTYPE, linkname="opt/x")])
    with spool:
        lower, upper = split(nodes, lambda path: path.startswith("opt/"))
        layers = [b"".join(layer_chunks(part)) for part in (lower, upper)]
    assert [list(members(layer)) for layer in layers] == [["usr/x"], ["opt/x"]]
    assert [content(layers[0], "usr/x"), content(layers[1], "opt/x")] == [b"same", b"same"]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([entry("a", b"1"), entry("./a", b"2")], "twice"),
        ([entry("usr/.wh.lib")], "deletes"),
        ([entry(".wh..wh..opq")], "deletes"),
        ([entry("b", kind=tarfile.LNKTYPE, linkname="tmp/x")], "hard link"),
        ([entry("a\udcff", b"1")], "cannot be read"),
        ([entry("a", kind=b"Z")], "type"),
    ],
)
def test_what_no_layer_can_say_is_refused(entries, words: str):
    with pytest.raises(StoreError, match=words):
        layer_of(entries)


def test_a_broken_export_is_refused(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"not a tar" * 200)
    with path.open("rb") as stream, pytest.raises(StoreError, match="cannot be read"):
        read_tree(stream)


def saved(layers: list[bytes], diff_ids: list[Digest], pack=lambda data: data) -> bytes:
    config = json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
    files = {f"{number}/layer.tar": pack(data) for number, data in enumerate(layers)}
    manifest = [{"Config": "c.json", "RepoTags": None, "Layers": list(files)}]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in {**files, "c.json": config, "manifest.json": json.dumps(manifest).encode()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("packed", [False, True])
def test_a_saved_image_keeps_its_config_and_gets_a_manifest(settings, layout, packed: bool):
    one, two = layer_of(system()), layer_of([entry("x", b"1")])
    digests = [Digest.of(one), Digest.of(two)]
    archive = saved([one, two], digests, gzip.compress if packed else bytes)
    manifest, config, layers = saved_parts(settings, [archive[:700], archive[700:]])
    assert [layer.digest for layer in layers] == digests
    assert [layout.read(digest) for digest in digests] == [one, two]
    assert json.loads(manifest)["config"]["digest"] == Digest.of(config)
    assert [item["size"] for item in json.loads(manifest)["layers"]] == [len(one), len(two)]


def test_a_saved_image_with_other_layers_is_refused(settings):
    one = layer_of(system())
    with pytest.raises(StoreError, match="other than"):
        saved_parts(settings, [saved([one], [Digest.of(b"another")])])
    with pytest.raises(StoreError, match="not one image"):
        saved_parts(settings, [b"\0" * 10240])
