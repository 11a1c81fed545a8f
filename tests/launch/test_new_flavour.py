"""Flavours of one's own, locked by the real uv against an index on loopback."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.package_index import PackageIndex, only_this_index, package_index

from orchestrator.errors import InfrastructureError, StoreError, UsageError
from orchestrator.image.base.base_pins import flavours
from orchestrator.image.base.recipe import read_recipe
from orchestrator.image.base.resolve_base import resolve_base
from orchestrator.image.wheels.read_lock import read_lock
from orchestrator.launch.bases.new_flavour import ChangedPackage, new_flavour, python_of
from orchestrator.launch.locking import resolve_packages
from orchestrator.launch.locking.base_clashes import LockError
from orchestrator.launch.watch import Silent
from orchestrator.settings import Settings, load

OS_IMAGE = "team/os@sha256:" + "0" * 64
HASH = " --hash=sha256:" + "1" * 64 + "\n"
PARENT = f"""
[big]
os_image = "{OS_IMAGE}"
release = "debian/bookworm"
python = "3.11"
requirements = "big/requirements.txt"
packages = ["g++"]
target = "cuda"

[silent]
os_image = "bootstrap"
release = "debian/bookworm"
requirements = "big/requirements.txt"
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """An index with two releases of PyTorch and what was made for each."""
    with package_index(tmp_path / "index") as made:
        only_this_index(monkeypatch, made)
        monkeypatch.setattr(resolve_packages, "pip_settings", lambda: {"index-url": made.url})
        for torch, vision in (("2.9.1", "0.24.1"), ("2.13.0", "0.28.0")):
            made.add("torch", torch, ["sympy", f"nvidia-thing=={torch}"])
            made.add("nvidia-thing", torch)
            made.add("torchvision", vision, [f"torch=={torch}", "numpy"])
        made.add("torchaudio", "2.9.1", ["torch==2.9.1"])
        made.add("torchaudio", "2.11.0")
        made.add("torchaudio", "2.11.1", ["torch>=2.11"])
        for numpy in ("2.3.0", "2.4.6", "2.5.0"):
            made.add("numpy", numpy)
        for sympy in ("1.14.0", "1.15.0"):
            made.add("sympy", sympy)
        made.add("einops", "0.8.1")
        yield made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    recipes = tmp_path / "recipes"
    (recipes / "big").mkdir(parents=True)
    versions = {
        "torch": "2.13.0",
        "nvidia-thing": "2.13.0",
        "torchvision": "0.28.0",
        "torchaudio": "2.11.1",
        "numpy": "2.4.6",
        "sympy": "1.14.0",
    }
    lock = "".join(f"{name}=={version}{HASH}" for name, version in versions.items())
    (recipes / "big" / "requirements.txt").write_text(lock)
    asked = "# What it has.\ntorch==2.13.0\nnumpy==2.4.6\ntorchvision==0.28.0\ntorchaudio==2.11.1\n"
    (recipes / "big" / "requirements.in").write_text(asked)
    (recipes / "Dockerfile.base").write_text("FROM scratch\n")
    (recipes / "bases.toml").write_text(PARENT)
    return load({"REPRISE_HOME": str(tmp_path / "home"), "REPRISE_IMAGES": str(recipes)})


def make(settings: Settings, name: str, *asked: str, parent: str = "big") -> tuple[ChangedPackage, ...]:
    return new_flavour(settings, name, parent, asked, Silent()).changed


def locked(settings: Settings, name: str) -> dict[str, str]:
    recipe = read_recipe(settings, name)
    return {pin.name: pin.version for pin in read_lock(recipe.requirements, python_of(recipe)).pins}


def test_another_package_leaves_all_others_as_they_are(settings: Settings, index: PackageIndex) -> None:
    changed = make(settings, "mine", "einops==0.8.*", "numpy<2.4")
    assert changed == (
        ChangedPackage(name="einops", before=None, after="0.8.1"),
        ChangedPackage(name="numpy", before="2.4.6", after="2.3.0"),
    )
    assert locked(settings, "mine") == {
        "einops": "0.8.1",
        "numpy": "2.3.0",
        "nvidia-thing": "2.13.0",
        "sympy": "1.14.0",
        "torch": "2.13.0",
        "torchaudio": "2.11.1",
        "torchvision": "0.28.0",
    }
    text = read_recipe(settings, "mine").requirements.read_text()
    assert text.count("1" * 64) == 5, "the parent's own hashes"
    assert "127.0.0.1" not in text


def test_another_pytorch_brings_what_was_made_for_it(settings: Settings, index: PackageIndex) -> None:
    make(settings, "older", "torch==2.9.*")
    assert locked(settings, "older") == {
        "numpy": "2.4.6",
        "nvidia-thing": "2.9.1",
        "sympy": "1.14.0",
        "torch": "2.9.1",
        "torchaudio": "2.9.1",
        "torchvision": "0.24.1",
    }


def test_the_rest_of_the_recipe_is_the_parents(settings: Settings, index: PackageIndex) -> None:
    make(settings, "mine", "einops")
    mine, parent = read_recipe(settings, "mine"), read_recipe(settings, "big")
    kept = {"flavour", "requirements"}
    assert mine.model_dump(exclude=kept) == parent.model_dump(exclude=kept)
    assert (mine.target, mine.requirements.parent.parent) == ("cuda", settings.home / "flavours")
    assert mine.key() != parent.key()
    assert flavours(settings) == ("big", "mine", "silent")
    with pytest.raises(UsageError, match="the base mine is not made yet") as caught:
        resolve_base(settings, "mine")
    assert caught.value.hint == "run: reprise base build mine"


def test_a_flavour_of_ones_own_can_be_the_next_ones_parent(settings: Settings, index: PackageIndex) -> None:
    make(settings, "mine", "einops")
    make(settings, "older", "torch==2.9.*", parent="mine")
    found = locked(settings, "older")
    assert (found["torch"], found["torchvision"], found["einops"]) == ("2.9.1", "0.24.1", "0.8.1")
    assert set(tomllib.loads(settings.pins.read_text())) == {"mine", "older"}


def test_cpu_builds_come_from_the_flavours_own_index(
    settings: Settings, index: PackageIndex, tmp_path: Path
) -> None:
    """The package index has another build of the same release; beside PyTorch's own it is not taken."""
    with package_index(tmp_path / "makers") as makers:
        makers.add("torch", "2.9.1+cpu", ["sympy"])
        makers.add("torchvision", "0.24.1+cpu", ["torch==2.9.1", "numpy"])
        path = settings.recipes / "bases.toml"
        path.write_text(path.read_text().replace("target =", f'wheel_index = "{makers.url}"\ntarget ='))
        make(settings, "older", "torch==2.9.*")
    found = locked(settings, "older")
    assert (found["torch"], found["torchvision"]) == ("2.9.1+cpu", "0.24.1+cpu")
    assert "nvidia-thing" not in found
    assert read_recipe(settings, "older").wheel_index == makers.url
    with pytest.raises(InfrastructureError, match="cannot reach the package index") as caught:
        make(settings, "oldest", "torch==2.9.*")
    assert "PIP_FIND_LINKS" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "parent", "asked", "said"),
    [
        ("big", "big", ("einops",), "the name big is taken"),
        ("a.b", "big", ("einops",), "not a name for a base"),
        ("../x", "big", ("einops",), "not a name for a base"),
        ("mine", "bog", ("einops",), "no flavour 'bog'"),
        ("mine", "silent", ("einops",), "does not say for which Python"),
        ("mine", "big", (), "needs a --requirement"),
        ("mine", "big", ("numpy", "torch>=2.10"), "has all of that already"),
        ("mine", "big", ("einops @ https://example.org/x.whl",), "comes from an address"),
        ("mine", "big", ("--index-url=https://example.org",), "an option, not a requirement"),
        ("mine", "big", ("absent",), "the package index has no absent"),
        ("mine", "big", ("torch==2.9.*", "torchvision==0.28.0"), "no versions fit together"),
    ],
)
def test_what_cannot_be_made_is_said_and_leaves_nothing(
    settings: Settings, index: PackageIndex, name: str, parent: str, asked: tuple[str, ...], said: str
) -> None:
    with pytest.raises((UsageError, LockError), match=said):
        make(settings, name, *asked, parent=parent)
    assert not settings.pins.exists()
    assert not (settings.home / "flavours").exists()


def test_a_name_that_is_taken_on_this_box_is_refused(settings: Settings, index: PackageIndex) -> None:
    make(settings, "mine", "einops")
    before = settings.pins.read_text()
    with pytest.raises(UsageError, match="the name mine is taken") as caught:
        make(settings, "mine", "einops==0.8.1")
    assert str(settings.pins) in (caught.value.hint or "")
    assert settings.pins.read_text() == before


def test_a_file_of_bases_that_cannot_take_it_stays_as_it_is(settings: Settings, index: PackageIndex) -> None:
    settings.home.mkdir()
    for text in ("odd = 1\n[mine.other]\nx = 1\n", "mine = {x = 1}\n"):
        settings.pins.write_text(text)
        with pytest.raises(StoreError, match="mine cannot be added"):
            make(settings, "mine", "einops")
        assert settings.pins.read_text() == text
        assert not (settings.home / "flavours").exists()
