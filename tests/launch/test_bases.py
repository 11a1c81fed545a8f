"""Recipes, the OS image's command, what is refused before anything is made, and what is not made twice."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.base_python import with_packages

from orchestrator.digest import Digest
from orchestrator.errors import EngineError, EngineMissingError, InfrastructureError, UsageError
from orchestrator.image.assembly.assemble import manifest_of
from orchestrator.image.base.base_manifest import Parts, made_config
from orchestrator.image.base.base_pins import list_pins
from orchestrator.image.base.os_image import Release, bootstrap, bootstrap_environment, command, release
from orchestrator.image.base.recipe import read_recipe, wheel_index
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Layer, LayerKind, PythonFacts
from orchestrator.launch.bases import base_layers, manage_bases
from orchestrator.launch.bases import probe_python as probe_module
from orchestrator.launch.bases.manage_bases import build_base, pin_base
from orchestrator.launch.session import Session
from orchestrator.launch.watch import KeptNotes, Silent
from orchestrator.run.engine.engine import EngineImage
from orchestrator.settings import Settings, load

REPO = Path(__file__).resolve().parents[2]
DIGEST = "sha256:" + "0" * 64
PLAIN = 'os_image = "bootstrap"\nrelease = "debian/bookworm"\nrequirements = "cpu/requirements.txt"\n'
PYTHON = with_packages(torch="2.13.0+cpu")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    recipes = tmp_path / "recipes"
    (recipes / "cpu").mkdir(parents=True)
    (recipes / "cpu" / "requirements.txt").write_text("numpy==2.4.6 --hash=sha256:" + "1" * 64 + "\n")
    (recipes / "Dockerfile.base").write_text("FROM scratch\n")
    (recipes / "bases.toml").write_text(
        '[cpu]\nos_image = "bootstrap"\nrelease = "debian/bookworm"\nrequirements = "cpu/requirements.txt"\n'
    )
    return load({"REPRISE_HOME": str(tmp_path / "home"), "REPRISE_IMAGES": str(recipes)})


# The committed recipes


def test_the_committed_recipes_can_be_read_and_are_pinned():
    committed = load({"REPRISE_HOME": "unused"})
    dockerfile = committed.dockerfile.read_text()
    for flavour in ("cpu", "cuda"):
        recipe = read_recipe(committed, flavour)
        assert f"ARG OS_IMAGE={recipe.os_image}\n" in dockerfile, "Dockerfile.base names another OS image"
        assert (recipe.python, recipe.release.codename, recipe.target) == ("3.11", "bookworm", flavour)
    assert "apt-get" not in dockerfile, "a distribution's archive moves"
    for flavour in ("cpu", "cuda"):
        assert re.search(rf"^FROM python AS {flavour}$", dockerfile, re.MULTILINE)


def test_the_committed_locks_pin_the_same_pytorch_and_only_cuda_brings_cuda():
    locks = {name: (REPO / "images" / name / "requirements.txt").read_text() for name in ("cpu", "cuda")}
    versions = {name: re.search(r"^torch==([\w.+]+)", text, re.MULTILINE)[1] for name, text in locks.items()}
    assert versions == {"cpu": "2.13.0+cpu", "cuda": "2.13.0"}
    assert ("nvidia-" in locks["cuda"], "nvidia-" in locks["cpu"]) == (True, False)
    for text in locks.values():
        assert "--index" not in text
        assert len(re.findall(r"^\S+==", text, re.MULTILINE)) <= text.count("--hash=sha256:")


def test_the_cuda_flavour_sets_what_the_nvidia_toolkit_reads_and_cpu_does_not():
    stages = (REPO / "Dockerfile.base").read_text().split("\nFROM ")
    assert "NVIDIA_REQUIRE_CUDA" in stages[-1]
    assert not any("NVIDIA_" in re.sub(r"^#.*$", "", stage, flags=re.MULTILINE) for stage in stages[:-1])


# Recipes


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (PLAIN.replace("bootstrap", "debian:bookworm"), "not pinned by digest"),
        ('os_image = "bootstrap"', "has no 'release'"),
        ('os_image = "bootstrap"\nrelease = "bookworm"', "is not a release"),
        ('os_image = "bootstrap"\nrelease = 3', "no usable recipe"),
        ('os_image = "bootstrap"\nrelease = "debian/bookworm"', "has no 'requirements'"),
        (PLAIN.replace('"bootstrap"', "3"), "no usable recipe"),
        ('os_image = "bootstrap"\nrelease = "debian/bookworm"\nrequirements = "cpu/none.txt"', "not there"),
        (f"{PLAIN}packages = 3", "no usable recipe"),
        (f"{PLAIN}packages = ['g++ --yes']", "no package"),
        (f"{PLAIN}packages = 'g++'", "no package"),
        (f"{PLAIN}python = '3'", "is not like 3.11"),
        (f"{PLAIN}wheel_index = 'ftp://host/whl'", "not an address"),
        (f"{PLAIN}wheel_index = 3", "is no text"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(settings: Settings, table: str, words: str):
    (settings.recipes / "bases.toml").write_text(f"[cpu]\n{table}\n")
    with pytest.raises(UsageError, match=words):
        read_recipe(settings, "cpu")


def test_another_python_than_the_flavours_is_refused(settings: Settings):
    (settings.recipes / "bases.toml").write_text(f'[cpu]\n{PLAIN}python = "3.11"\n')
    recipe = read_recipe(settings, "cpu")
    recipe.check_python("3.11.16")
    for version in ("3.13.5", "3.1.1", "4.11.0"):
        with pytest.raises(UsageError, match=f"for Python 3.11, and its OS image has {version}"):
            recipe.check_python(version)


def test_the_wheel_index_is_the_flavours_and_no_part_of_what_is_made(settings: Settings):
    before = read_recipe(settings, "cpu")
    (settings.recipes / "bases.toml").write_text(f'[cpu]\n{PLAIN}wheel_index = "https://example.org/whl#a"\n')
    after = read_recipe(settings, "cpu")
    assert (before.wheel_index, after.wheel_index) == (None, "https://example.org/whl")
    assert before.key() == after.key()
    assert [wheel_index(settings, name) for name in ("cpu", "other")] == ["https://example.org/whl", None]


def test_an_unknown_flavour_names_those_there_are(settings: Settings):
    with pytest.raises(UsageError, match="no flavour 'cud'") as caught:
        read_recipe(settings, "cud")
    assert "cpu" in str(caught.value.hint)


@pytest.mark.parametrize("file", ["cpu/requirements.txt", "Dockerfile.base"])
def test_another_input_is_another_key(settings: Settings, file: str):
    before = read_recipe(settings, "cpu").key()
    assert read_recipe(settings, "cpu").key() == before
    path = settings.recipes / file
    path.write_text(path.read_text() + "# more\n")
    assert read_recipe(settings, "cpu").key() != before


def test_other_packages_are_another_key(settings: Settings):
    before = read_recipe(settings, "cpu")
    (settings.recipes / "bases.toml").write_text(f'[cpu]\n{PLAIN}packages = ["g++"]\n')
    after = read_recipe(settings, "cpu")
    assert (before.packages, after.packages) == ((), ("g++",))
    assert before.key() != after.key()


# The OS image


@pytest.mark.parametrize("name", ["debian/bookworm", "ubuntu/noble"])
def test_a_release_is_read(name: str):
    found = release(name)
    assert f"{found.distribution}/{found.codename}" == name


@pytest.mark.parametrize(
    "name", ["fedora/42", "debian", "debian/", "debian/book worm", "debian/x/y", "debian/-x", ""]
)
def test_what_is_no_release_is_refused(name: str):
    with pytest.raises(ValueError, match="is not a release"):
        release(name)


def test_another_release_is_another_key(settings: Settings):
    before = read_recipe(settings, "cpu")
    recipes = settings.recipes / "bases.toml"
    recipes.write_text(recipes.read_text().replace("bookworm", "trixie"))
    after = read_recipe(settings, "cpu")
    assert (before.release.codename, after.release.codename) == ("bookworm", "trixie")
    assert before.key() != after.key()


def test_the_os_image_does_not_depend_on_the_hosts_clock_and_locale(tmp_path: Path):
    noble = Release(distribution="ubuntu", codename="noble")
    words = command(noble, tmp_path / "root.tar")
    assert words[-2:] == ["noble", str(tmp_path / "root.tar")]
    assert "--components=main,universe" in words
    assert any("etc/fstab" in word for word in words), "mmdebstrap's versions write different ones"
    assert "--include=ca-certificates,python3,python3-venv" in words
    assert "--include=ca-certificates,python3,python3-venv,g++" in command(noble, tmp_path, ["g++"])
    found = bootstrap_environment(
        {"TZ": "Asia/Tokyo", "LC_ALL": "tr_TR", "http_proxy": "p", "SOURCE_DATE_EPOCH": "9"}
    )
    assert found == {"TZ": "UTC", "LC_ALL": "C.UTF-8", "http_proxy": "p", "SOURCE_DATE_EPOCH": "315619200"}


def test_without_mmdebstrap_the_error_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfrastructureError) as caught:
        bootstrap(Release(distribution="debian", codename="bookworm"), tmp_path / "x")
    assert caught.value.hint == "run: apt-get install mmdebstrap"


def test_a_failed_bootstrap_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "mmdebstrap"
    program.write_text("#!/bin/sh\necho 'I: working' >&2\necho 'E: no mirror answers' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(InfrastructureError, match="E: no mirror answers"):
        bootstrap(Release(distribution="debian", codename="bookworm"), tmp_path / "x")


# Config and manifest


def test_a_made_config_keeps_the_environment_but_for_library_paths():
    config = made_config(
        {"Env": ["PATH=/x", "LD_LIBRARY_PATH=/y", "A=1"], "Entrypoint": ["/z"], "Cmd": ["p"]}, ()
    )
    assert b"LD_LIBRARY_PATH" not in config
    assert b'"config":{"Cmd":["p"],"Env":["A=1","PATH=/x"]}' in config


# Making, with an engine that only pretends


class Pretender:
    """An engine that has every image with these layers, or none, or that refuses a pull."""

    def __init__(self) -> None:
        self.images: dict[str, EngineImage] = {}
        self.pulled: list[str] = []
        self.refusal: EngineError | None = None

    def image(self, reference: str) -> EngineImage | None:
        return self.images.get(reference)

    def pull(self, repository: str, digest: str) -> None:
        self.pulled.append(f"{repository}@{digest}")
        if self.refusal:
            raise self.refusal

    def import_image(self, archive, repository: str, tag: str, changes: list[str]) -> str:
        self.imported = archive.read()
        self.images[f"{repository}:{tag}"] = EngineImage(id=DIGEST, tags=(), diff_ids=(), labels={})
        return DIGEST


@pytest.fixture
def engine() -> Pretender:
    return Pretender()


@pytest.fixture
def session(settings: Settings, engine: Pretender) -> Session:
    session = Session(settings)
    session.__dict__["engine"] = engine
    return session


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, session: Session, engine: Pretender) -> list[str]:
    """Stand-ins for building and probing; each making is noted."""
    makings: list[str] = []

    def make_parts(session: Session, recipe, watch) -> Parts:
        makings.append(recipe.flavour)
        digest, size = ImageLayout(session.settings.layout).put_parts([b"layer", recipe.key().encode()])
        layers = (Layer(kind=LayerKind.BASE, digest=digest, diff_id=digest, size=size),)
        config = made_config({"Env": []}, layers)
        tag = f"{manage_bases.BASE_REPOSITORY}:{Digest.of(manifest_of(config, layers)).hex}"
        engine.images[tag] = EngineImage(id=Digest.of(config), tags=(tag,), diff_ids=(digest,), labels={})
        return Parts(manifest_of(config, layers), config, layers)

    monkeypatch.setattr(manage_bases, "make_parts", make_parts)
    monkeypatch.setattr(manage_bases, "probe_python", lambda engine, reference: PYTHON)
    return makings


def test_a_base_is_made_once_and_pinned(session: Session, made: list[str]):
    first = build_base(session, "cpu", Silent())
    watch = KeptNotes()
    assert build_base(session, "cpu", watch).ref == first.ref
    assert made == ["cpu"]
    assert "made already" in watch.notes[0]
    (pin,) = list_pins(session.settings)
    assert (pin.name, pin.digest, pin.reference) == ("cpu", first.ref.digest, first.reference)


def test_force_and_a_changed_recipe_make_it_anew(session: Session, made: list[str]):
    first = build_base(session, "cpu", Silent())
    build_base(session, "cpu", Silent(), force=True)
    session.settings.dockerfile.write_text("FROM scratch\n# changed\n")
    second = build_base(session, "cpu", Silent())
    assert made == ["cpu"] * 3
    assert second.ref.digest != first.ref.digest
    assert [pin.digest for pin in list_pins(session.settings)] == [second.ref.digest]


@pytest.mark.parametrize("which", ["layer", "manifest", "pin"])
def test_a_base_that_is_not_whole_is_made_anew(session: Session, made: list[str], which: str):
    base = build_base(session, "cpu", Silent())
    layout = ImageLayout(session.settings.layout)
    path = {
        "layer": layout.path(base.layers[0].digest),
        "manifest": layout.path(base.ref.digest),
        "pin": session.settings.pins,
    }[which]
    path.unlink()
    build_base(session, "cpu", Silent())
    assert made == ["cpu", "cpu"]


def test_a_committed_pin_comes_first_and_that_is_said(session: Session, made: list[str]):
    base = build_base(session, "cpu", Silent())
    committed = session.settings.pins.read_text().replace(base.ref.digest, DIGEST)
    recipe = session.settings.recipes / "bases.toml"
    recipe.write_text(recipe.read_text() + "\n" + committed)
    watch = KeptNotes()
    build_base(session, "cpu", watch, force=True)
    assert DIGEST in watch.notes[-1]


def test_where_the_os_image_cannot_be_pulled_it_is_made(session: Session, engine: Pretender, monkeypatch):
    monkeypatch.setattr(
        base_layers, "bootstrap", lambda release, target, packages: target.write_text(f"tar of {packages}")
    )
    update = {"os_image": f"team/os@{DIGEST}", "packages": ("g++",)}
    recipe = read_recipe(session.settings, "cpu").model_copy(update=update)
    watch = KeptNotes()
    session.settings.home.mkdir()
    engine.refusal = EngineError("pulling: no route to host")
    assert base_layers._os_image(session, recipe, "reprise-build:x", watch) == "reprise-build:x"
    assert engine.pulled == [f"team/os@{DIGEST}"]
    assert "no route to host" in watch.notes[0]
    assert engine.imported == b"tar of ('g++',)"
    engine.refusal = EngineMissingError("gone")
    with pytest.raises(EngineMissingError):
        base_layers._os_image(session, recipe, "reprise-build:x", watch)
    engine.refusal = None
    assert base_layers._os_image(session, recipe, "reprise-build:x", watch) == recipe.os_image
    assert list(session.settings.home.glob(".base-*")) == []


# Pinning


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("mine", "python:3.11-slim"),
        ("mine", "python"),
        ("mine", "python@sha256:abc"),
        ("mine", "registry.example:5000/team/base:latest"),
        ("mine/yours", f"python@{DIGEST}"),
        ("", f"python@{DIGEST}"),
    ],
)
def test_only_a_digest_can_be_pinned(session: Session, name: str, reference: str):
    with pytest.raises(UsageError):
        pin_base(session, name, reference, Silent())
    assert not session.settings.pins.exists()


@pytest.mark.parametrize(
    ("repository", "host"),
    [
        ("python", False),
        ("team/python", False),
        ("registry.example/x", True),
        ("box:5000/x", True),
        ("localhost/x", True),
    ],
)
def test_hosts_are_told_from_names_as_engines_do(repository: str, host: bool):
    assert manage_bases._has_host(repository) is host


# The scripts


def test_the_shell_scripts_parse():
    scripts = [*sorted((REPO / "scripts").glob("*.sh")), REPO / ".ci" / "run"]
    assert len(scripts) >= 5
    for script in scripts:
        done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert script.stat().st_mode & 0o111, f"{script} cannot be executed"


def test_every_package_of_the_project_is_in_the_locks():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    run, dev = ((REPO / "requirements" / name).read_text() for name in ("run.txt", "dev.txt"))
    wanted = {
        "run.txt": (run, project["dependencies"]),
        "dev.txt": (dev, project["optional-dependencies"]["dev"]),
    }
    for name, (lock, requirements) in wanted.items():
        for requirement in requirements:
            package = re.match(r"[\w.-]+", requirement)[0].replace(".", "-").lower()
            if package != "reprise":
                assert re.search(rf"^{package}==", lock, re.MULTILINE), (
                    f"{package} is not in {name}: make lock"
                )


@pytest.mark.slow
def test_what_a_base_is_asked_is_there_and_answers() -> None:
    """The program is a file of another room, named by its path."""
    script = probe_module._SCRIPT.read_text(encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    facts = PythonFacts.model_validate_json(done.stdout.splitlines()[-1])
    assert facts.version == "{}.{}.{}".format(*sys.version_info[:3])
