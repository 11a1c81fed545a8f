"""Bases on a real engine and a real registry: made twice with one digest, and pinned as they are.

The real Dockerfile.base with two small wheels instead of PyTorch; its OS image is most of the first layer of
the shared base, so that nothing is downloaded and a build takes some five seconds.
"""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from support.package_index import only_this_index, package_index
from support.services import registry_server

from orchestrator.digest import Digest
from orchestrator.errors import BaseNotPinnedError, EngineError, UsageError
from orchestrator.image.base.normalise import read_tree
from orchestrator.image.base.recipe import read_recipe
from orchestrator.image.base.resolve_base import resolve_base
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Base
from orchestrator.launch.bases import base_layers
from orchestrator.launch.bases.manage_bases import BASE_REPOSITORY, build_base, pin_base
from orchestrator.launch.bases.new_flavour import new_flavour
from orchestrator.launch.bases.probe_python import probe_python
from orchestrator.launch.session import Session
from orchestrator.launch.watch import KeptNotes, Silent
from orchestrator.settings import Settings, load

pytestmark = pytest.mark.engine


REPO = Path(__file__).resolve().parents[2]
SMALL = ("filelock", "typing_extensions")  # of the shared base's own wheels


@pytest.fixture(scope="module")
def recipes(shared_base: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "cpu").mkdir()
    lines = []
    for name in SMALL:
        (wheel,) = shared_base.wheels.glob(f"*/{name}-*.whl")
        lines.append(f"{name}=={wheel.name.split('-')[1]} --hash=sha256:{wheel.parent.name}\n")
    (folder / "cpu" / "requirements.txt").write_text("".join(lines))
    (folder / "bases.toml").write_text(
        '[cpu]\nos_image = "bootstrap"\nrelease = "debian/bookworm"\npython = "3.11"\n'
        'requirements = "cpu/requirements.txt"\n'
    )
    shutil.copy(REPO / "Dockerfile.base", folder / "Dockerfile.base")
    return folder


@pytest.fixture(scope="module")
def new_session(
    shared_base: Settings, recipes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Session]]:
    """Sessions of empty homes; the images that they leave in the engine are removed."""
    opened: list[Session] = []

    def new() -> Session:
        home = tmp_path_factory.mktemp("home")
        settings = load({"REPRISE_HOME": str(home), "REPRISE_IMAGES": str(recipes)})
        settings.wheels.symlink_to(shared_base.wheels)
        opened.append(Session(settings))
        return opened[-1]

    yield new
    client = docker.from_env(version="auto")
    for session in opened:
        text = session.settings.pins.read_text() if session.settings.pins.exists() else ""
        for tag in set(re.findall(rf"{BASE_REPOSITORY}:[0-9a-f]{{64}}", text)):
            if client.images.list(tag):
                client.images.remove(tag)
        session.close()


@pytest.fixture(scope="module")
def make(os_archive: Path, new_session: Callable[[], Session]) -> Callable[[], tuple[Session, Base]]:
    def make() -> tuple[Session, Base]:
        session = new_session()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                base_layers, "bootstrap", lambda release, target, packages: shutil.copy(os_archive, target)
            )
            return session, build_base(session, "cpu", Silent())

    return make


@pytest.fixture(scope="module")
def small(make) -> tuple[Session, Base]:
    return make()


@pytest.mark.acceptance
def test_two_makings_give_one_digest_and_leave_nothing_in_the_engine(small, make):
    client = docker.from_env(version="auto")
    session, base = small
    again, second = make()
    assert second.ref == base.ref
    assert [Digest.of_file(layer.path) for layer in second.layers] == [layer.digest for layer in base.layers]
    mine = [Digest.of(str(one.settings.home).encode()).short for one in (session, again)]
    tags = [tag for image in client.images.list(base_layers.SCRATCH) for tag in image.tags]
    assert [tag for tag in tags if any(name in tag for name in mine)] == []


@pytest.fixture
def made(session: Session) -> tuple[Session, Base]:
    """The cpu base that `make base` made on this machine."""
    return session, resolve_base(session.settings, "cpu")


@pytest.mark.acceptance
def test_a_small_base_has_what_its_recipe_says(small):
    _, base = small
    assert base.python.packages.keys() >= {"filelock", "typing-extensions"}
    assert (base.python.torch, base.python.cuda) == (None, None)


def test_a_made_base_is_what_it_was_probed_to_be(made):
    session, base = made
    assert base.python.executable == "/opt/python/bin/python"
    assert probe_python(session.engine, base.reference) == base.python


def test_its_bytecode_is_used_and_never_checked(made):
    session, base = made
    script = "import filelock as m; print(open(m.__cached__, 'rb').read(8)[4:].hex(), m.__cached__)"
    code, out = session.engine.run_once(base.reference, ["python", "-c", script])
    assert (code, out.split()[0]) == (0, b"01000000"), "flags of an unchecked hash-based .pyc"


def test_its_environment_is_the_recipes(made):
    session, base = made
    pairs = dict(pair.split("=", 1) for pair in session.engine.image_settings(base.reference)["Env"])
    assert pairs["PATH"].startswith("/opt/python/bin:/usr/local/sbin:")
    assert (pairs["LC_ALL"], pairs["TZ"]) == ("C.UTF-8", "UTC")
    assert not any(name.startswith(("NVIDIA_", "LD_")) for name in pairs)


@pytest.mark.acceptance
def test_an_engine_that_lost_the_base_is_given_it_again(small):
    session, base = small
    session.engine.remove_image(base.reference)
    assert session.engine.image(base.reference) is None
    assert build_base(session, "cpu", Silent()).ref == base.ref
    assert session.engine.image(base.reference) is not None


@pytest.mark.acceptance
def test_a_flavour_of_ones_own_is_made_and_used(
    os_archive: Path, new_session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    session = new_session()
    settings = session.settings
    settings.wheels.unlink()  # what is fetched here stays here
    with package_index(tmp_path / "index") as index:
        only_this_index(monkeypatch, index)
        index.add("filelock", "9.9")
        index.add("rare-thing", "1.2", ["filelock>=9"])
        for name in SMALL:
            shutil.copy(next(shared_wheels().glob(f"*/{name}-*.whl")), index.folder)
        made = new_flavour(settings, "mine", "cpu", ("rare-thing",), Silent())
        assert {item.name: item.after for item in made.changed} == {"filelock": "9.9", "rare-thing": "1.2"}
        monkeypatch.setattr(
            base_layers, "bootstrap", lambda release, target, packages: shutil.copy(os_archive, target)
        )
        base = build_base(session, "mine", Silent())
    assert (base.ref.name, base.python.packages["rare-thing"]) == ("mine", "1.2")
    assert base.python.packages["filelock"] == "9.9"
    assert resolve_base(settings, "mine").ref == base.ref
    assert read_recipe(settings, "mine").requirements == made.lock, "the pin left the recipe in the file"
    code, out = session.engine.run_once(
        base.reference, ["python", "-c", "import rare_thing as m; print(m.VERSION)"]
    )
    assert (code, out) == (0, b"1.2\n")


def shared_wheels() -> Path:
    return load().wheels


# Pinned as they are


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with registry_server() as server:
        yield server.host


@pytest.fixture(scope="module")
def pushed(registry: str, small) -> Iterator[str]:
    """The small base in a registry, as an engine pushes it (compressed), by the registry's digest."""
    _, base = small
    client = docker.from_env(version="auto")
    name = f"{registry}/team/base"
    client.images.get(base.reference).tag(name, "v1")
    for line in client.api.push(name, "v1", stream=True, decode=True):
        assert "error" not in line, line
    (reference,) = [
        one for one in client.images.get(f"{name}:v1").attrs["RepoDigests"] if one.startswith(name)
    ]
    client.images.remove(f"{name}:v1")
    yield reference
    for image in client.images.list(name):
        for tag in (*image.tags, *image.attrs["RepoDigests"]):
            if tag.startswith(name):
                client.images.remove(tag)


@pytest.fixture
def pulled(registry: str, imported, os_archive: Path, recipes: Path) -> Iterator[Callable[..., None]]:
    """The recipe starts from an image of a registry, by tag and digest, and has more lines."""
    client = docker.from_env(version="auto")
    name = f"{registry}/team/os"
    image = client.images.get(imported(os_archive.read_bytes(), []))
    image.tag(name, "v1")
    for line in client.api.push(name, "v1", stream=True, decode=True):
        assert "error" not in line, line
    (reference,) = [one for one in client.images.get(image.id).attrs["RepoDigests"] if one.startswith(name)]
    client.images.remove(f"{name}:v1")  # and with it the reference by digest
    path = recipes / "bases.toml"
    before = path.read_text()

    def change(more: str, python: str = "3.11") -> None:
        os_image = f"{name}:v1@{reference.partition('@')[2]}"
        recipe = before.replace('"bootstrap"', f'"{os_image}"').replace('"3.11"', f'"{python}"')
        path.write_text(recipe + more)

    yield change
    path.write_text(before)
    if client.images.list(reference):
        client.images.remove(reference)


@pytest.mark.acceptance
def test_over_an_os_image_of_a_registry_the_same_base_is_made(pulled, new_session, small):
    pulled("")
    watch = KeptNotes()
    base = build_base(new_session(), "cpu", watch)
    assert watch.notes == [], "it was not pulled"
    assert base.ref.digest == small[1].ref.digest


@pytest.mark.acceptance
def test_an_os_image_without_what_the_flavour_needs_is_named(pulled, new_session):
    pulled('packages = ["g++"]\n')
    with pytest.raises(EngineError, match=r"the OS image has no g\+\+"):
        build_base(new_session(), "cpu", Silent())
    pulled('packages = ["libpython3-dev"]\n')
    with pytest.raises(EngineError, match="the OS image has no libpython3-dev"):
        build_base(new_session(), "cpu", Silent())
    pulled("", python="3.14")
    with pytest.raises(UsageError, match=r"for Python 3\.14, and its OS image has 3\.11"):
        build_base(new_session(), "cpu", Silent())


@pytest.mark.acceptance
def test_an_image_of_a_registry_keeps_the_registrys_digest(pushed: str, new_session, small):
    session = new_session()
    base = pin_base(session, "team", pushed, Silent())
    assert base.reference == pushed
    assert base.ref.digest == pushed.partition("@")[2]
    assert base.ref.digest != small[1].ref.digest  # its layers travel compressed
    assert base.ref.config_digest == small[1].ref.config_digest
    assert [layer.diff_id for layer in base.layers] == [layer.diff_id for layer in small[1].layers]
    assert base.python == small[1].python
    assert resolve_base(session.settings, "team").ref == base.ref
    assert resolve_base(session.settings, pushed).ref == base.ref
    assert session.engine.image(f"{BASE_REPOSITORY}:{base.ref.digest.hex}") is not None, (
        "untagged: would be pruned"
    )
    docker.from_env(version="auto").images.remove(f"{BASE_REPOSITORY}:{base.ref.digest.hex}")


def test_a_tag_of_a_registry_is_refused(registry: str, new_session):
    session = new_session()
    with pytest.raises(UsageError, match="a tag moves"):
        pin_base(session, "team", f"{registry}/team/base:v1", Silent())
    with pytest.raises(BaseNotPinnedError):
        resolve_base(session.settings, "team")


@pytest.mark.acceptance
def test_an_image_of_the_engine_is_pinned_by_its_id(new_session, small):
    _, made = small
    session = new_session()
    base = pin_base(session, "mine", made.ref.config_digest, Silent())
    assert base.ref.digest == made.ref.digest, "the same config and layers have the same manifest"
    assert (base.config, base.manifest) == (made.config, made.manifest)
    layout = ImageLayout(session.settings.layout)
    assert all(layout.has(layer.digest, layer.size) for layer in base.layers)


@pytest.fixture
def imported(session: Session) -> Iterator[Callable[[bytes, list[str]], str]]:
    ids = []

    def add(archive: bytes, changes: list[str]) -> str:
        tag = f"{base_layers.SCRATCH}:test-{len(ids)}"
        repository, _, name = tag.partition(":")
        ids.append(tag)
        session.engine.import_image(io.BytesIO(archive), repository, name, changes)
        image = session.engine.image(tag)
        assert image is not None
        return image.id

    yield add
    for tag in ids:
        session.engine.remove_image(tag)


def one_file(**fields: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("file")
        for name, value in fields.items():
            setattr(info, name, value)
        archive.addfile(info)
    return out.getvalue()


def test_an_image_without_python_is_refused(new_session, imported):
    session = new_session()
    with pytest.raises(UsageError, match="no Python on its PATH"):
        pin_base(session, "mine", imported(one_file(), []), Silent())
    assert not session.settings.pins.exists()


def test_an_image_that_sets_what_no_base_may_is_refused(os_archive: Path, new_session, imported):
    session = new_session()
    client = docker.from_env(version="auto")
    image = imported(os_archive.read_bytes(), ["VOLUME /data", "ENV LD_PRELOAD=/x.so"])
    with pytest.raises(UsageError, match="VOLUME /data") as caught:
        pin_base(session, "mine", image, Silent())
    assert "LD_PRELOAD" in caught.value.message
    assert not session.settings.pins.exists()
    # By what it holds: another test may make a base at this moment.
    kept = [image.attrs["Config"] for image in client.images.list(BASE_REPOSITORY)]
    assert not [config for config in kept if config.get("Volumes")]
    assert not [config for config in kept if "LD_PRELOAD=/x.so" in (config.get("Env") or [])]


def test_an_image_with_the_distributions_own_python_is_a_base(os_archive: Path, new_session, imported):
    base = pin_base(new_session(), "mine", imported(os_archive.read_bytes(), ["ENV A=1"]), Silent())
    assert base.python.executable == "/usr/bin/python3"
    assert base.python.purelib.startswith(("/usr/lib/python3", "/usr/local/lib/python3"))


def test_file_capabilities_survive_the_engine_and_our_normalising(new_session, imported, tmp_path: Path):
    value = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    image = imported(one_file(pax_headers={"SCHILY.xattr.security.capability": value.decode()}), [])
    spool = tmp_path / "export.tar"
    spool.write_bytes(b"".join(new_session().engine.export(image)))
    with spool.open("rb") as stream:
        (node,) = [node for node in read_tree(stream) if node.path == "file"]
    assert node.info.pax_headers == {"SCHILY.xattr.security.capability": value.decode()}
