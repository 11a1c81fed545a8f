from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processes import fork

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import BaseNotPinnedError, StoreError, UsageError
from orchestrator.image.base import base_pins as module
from orchestrator.image.base.base_pins import list_pins, read_pins, write_pin
from orchestrator.image.base.make_base import base_from_parts
from orchestrator.image.base.resolve_base import resolve_base
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import MEDIA_LAYER, Base, PythonFacts
from orchestrator.settings import Settings

RECIPES = """\
# The flavours; see Dockerfile.base.
default = "cuda"

[cpu]
from = "os"  # bootstrapped
packages = ["python3"]

[cuda]
from = "nvidia/cuda"
"""


@pytest.fixture
def recipes(settings: Settings) -> Path:
    path = settings.recipes / "bases.toml"
    path.write_text(RECIPES)
    return path


def test_a_pinned_flavour_is_resolved(settings: Settings, recipes: Path, make_base: Any) -> None:
    base = make_base("cpu")
    write_pin(settings.pins, "cpu", base)
    assert resolve_base(settings, "cpu") == base
    assert resolve_base(settings, f"mirror.example/any/name@{base.ref.digest}") == base


def test_without_a_name_the_recipes_decide(settings: Settings, recipes: Path, make_base: Any) -> None:
    """Neither what the spec asks for nor what the machine has is even asked."""
    write_pin(settings.pins, "cuda", cuda := make_base("cuda", config={"Env": ["CUDA=1"]}))
    write_pin(settings.pins, "cpu", cpu := make_base("cpu"))
    assert resolve_base(settings, None) == cuda
    recipes.write_text(RECIPES.replace('default = "cuda"', 'default = "cpu"'))
    assert resolve_base(settings, None) == cpu
    recipes.write_text(RECIPES.replace('default = "cuda"\n', ""))
    with pytest.raises(UsageError, match="has no default"):
        resolve_base(settings, None)


def test_where_the_default_is_not_made_both_ways_are_said(
    settings: Settings, recipes: Path, make_base: Any
) -> None:
    with pytest.raises(BaseNotPinnedError, match="names no base, so it gets cuda, and cuda is not") as caught:
        resolve_base(settings, None)
    first = "`base: cpu` in the job file (after `reprise base build cpu`)"
    assert caught.value.hint == f"run `reprise base build cuda` (gigabytes, once), or write {first}"
    write_pin(settings.pins, "mine", make_base("mine"))
    with pytest.raises(BaseNotPinnedError) as caught:
        resolve_base(settings, None)
    assert (caught.value.hint or "").endswith("or write `base: mine` in the job file")
    recipes.write_text('default = "cuda"\n[cuda]\n')
    settings.pins.unlink()
    with pytest.raises(BaseNotPinnedError) as caught:
        resolve_base(settings, None)
    assert (caught.value.hint or "").endswith("or name a base of your own in the job file")


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("cpu", "not made yet", "run: reprise base build cpu"),
        ("mine", "no base is called 'mine'; there is cpu, cuda", "reprise base pin mine"),
        ("python:3.11", "a tag moves", "reprise base pin"),
        ("library/python", "a tag moves", "reprise base pin"),
        ("host:5000/a/b:tag", "a tag moves", "reprise base pin"),
        ("a@sha256:1234", "a tag moves", "reprise base pin"),
        ("a@sha256:" + "0" * 64, "no base on this box has the digest", "reprise base pin NAME a@sha256:000"),
    ],
)
def test_what_no_digest_pins_is_refused(
    settings: Settings, recipes: Path, name: str, said: str, hint: str
) -> None:
    with pytest.raises(BaseNotPinnedError, match=said) as caught:
        resolve_base(settings, name)
    assert hint in (caught.value.hint or "")


def test_the_committed_pin_comes_before_this_boxes(settings: Settings, recipes: Path, make_base: Any) -> None:
    shared, own = make_base("cpu", config={"Env": ["WHO=shared"]}), make_base("cpu")
    write_pin(settings.pins, "cpu", own)
    write_pin(recipes, "cpu", shared)
    (pin,) = list_pins(settings)
    assert (pin.digest, pin.committed) == (shared.ref.digest, True)
    assert resolve_base(settings, "cpu") == shared


@pytest.mark.parametrize("which", ["digest", "config_digest"])
@pytest.mark.parametrize("damage", ["absent", "edited"])
def test_a_base_whose_bytes_are_not_here_is_not_used(
    settings: Settings, recipes: Path, make_base: Any, which: str, damage: str
) -> None:
    base: Base = make_base("cpu")
    write_pin(settings.pins, "cpu", base)
    path = ImageLayout(settings.layout).path(getattr(base.ref, which))
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes().replace(b"linux", b"linuX") + b" ")
    with pytest.raises(BaseNotPinnedError, match="not usable here") as caught:
        resolve_base(settings, "cpu")
    assert caught.value.hint == "run: reprise base build cpu"


def test_writing_a_pin_leaves_the_rest_of_the_file_alone(recipes: Path, make_base: Any) -> None:
    one, two = make_base("cpu"), make_base("cpu", config={"Env": ["X=2"]})
    write_pin(recipes, "cpu", one)
    write_pin(recipes, "cuda", one)
    write_pin(recipes, "cpu", two)
    text = recipes.read_text()
    assert text.startswith(RECIPES.rstrip())
    parsed = tomllib.loads(text)
    assert parsed["cpu"]["packages"] == ["python3"]
    pins = {pin.name: pin for pin in read_pins(recipes, committed=True)}
    assert (pins["cpu"].digest, pins["cuda"].digest) == (two.ref.digest, one.ref.digest)
    assert text.count('["cpu".pin]') == 1


def test_a_pin_before_other_tables_and_comments_is_replaced_in_place(recipes: Path, make_base: Any) -> None:
    write_pin(recipes, "cpu", make_base("cpu"))
    recipes.write_text(recipes.read_text() + "\n# about other\n[other]\nx = 1\n")
    write_pin(recipes, "cpu", make_base("cpu", config={"Env": ["X=2"]}))
    text = recipes.read_text()
    assert "# about other\n[other]\nx = 1\n" in text
    assert text.count("digest") == 2


def test_a_pin_that_cannot_be_replaced_is_not_doubled(recipes: Path, make_base: Any) -> None:
    recipes.write_text('cpu = { pin = { digest = "x" } }\n')
    before = recipes.read_text()
    with pytest.raises((StoreError, tomllib.TOMLDecodeError)):
        write_pin(recipes, "cpu", make_base("cpu"))
    assert recipes.read_text() == before


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_text_survives_toml(text: str) -> None:
    assert tomllib.loads(f"a = {module.quoted_toml(text)}") == {"a": text}


@pytest.mark.parametrize("missing", ["digest", "config_digest", "reference", "python"])
def test_a_malformed_pin_names_the_field(settings: Settings, make_base: Any, missing: str) -> None:
    write_pin(settings.pins, "cpu", make_base("cpu"))
    kept = [line for line in settings.pins.read_text().splitlines() if not line.startswith(f'"{missing}"')]
    if missing == "python":
        kept = kept[: kept.index('["cpu".pin.python]')]
    settings.pins.write_text("\n".join(kept))
    with pytest.raises(UsageError, match=missing):
        list_pins(settings)
    settings.pins.write_text("not toml")
    with pytest.raises(UsageError, match="not TOML"):
        list_pins(settings)


def test_processes_that_pin_at_once_lose_nothing(settings: Settings, make_base: Any) -> None:
    base = make_base("cpu")
    names = [f"base{number}" for number in range(8)]
    processes = [fork.Process(target=write_pin, args=(settings.pins, name, base)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [pin.name for pin in list_pins(settings)] == names


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"Volumes": {"/data": {}}}, "VOLUME /data"),
        ({"OnBuild": ["RUN evil"]}, "ONBUILD"),
        ({"Env": ["LD_PRELOAD=/x.so"]}, "ENV LD_PRELOAD"),
        ({"Env": ["LD_LIBRARY_PATH=/x"]}, "ENV LD_LIBRARY_PATH"),
        ({"Env": ["REPRISE_SEED=1"]}, "ENV REPRISE_SEED"),
        ({"Env": ["PYTHONHOME=/x"]}, "ENV PYTHONHOME"),
    ],
)
def test_what_a_base_may_not_bring(make_base: Any, config: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_base("cpu", config=config)


def test_all_that_is_wrong_with_a_base_comes_at_once(make_base: Any) -> None:
    with pytest.raises(UsageError) as caught:
        make_base("cpu", config={"Volumes": {"/a": {}}, "Env": ["LD_PRELOAD=x"]}, architecture="arm64")
    assert len(caught.value.message.splitlines()) == 4


@pytest.mark.parametrize(
    "facts",
    [
        {"machine": "aarch64"},
        {"executable": "python3"},
        {"executable": "/opt/my python/bin/python"},
        {"executable": "/opt/../bin/python"},
        {"executable": "/" + "x" * 130},
        {"purelib": "lib/python3"},
        {"version": "2.7.18"},
        {"glibc": "musl"},
    ],
)
def test_a_python_that_cannot_be_used_is_refused(
    make_base: Any, python: PythonFacts, facts: dict[str, str]
) -> None:
    base: Base = make_base("cpu")
    wrong = python.model_copy(update=facts)
    with pytest.raises(UsageError, match="cannot be a base"):
        base_from_parts("cpu", "r", base.manifest, base.config, None, wrong)


def test_parts_that_do_not_belong_together_are_refused(make_base: Any, python: PythonFacts) -> None:
    base: Base = make_base("cpu")
    manifest = json.loads(base.manifest)
    cases = [
        (canonical_json(manifest), base.config + b" "),
        (b"{}", base.config),
        (b"no json", base.config),
        (canonical_json(manifest | {"layers": []}), base.config),
        (canonical_json(manifest | {"layers": manifest["layers"] * 2}), base.config),
        (
            canonical_json(manifest | {"layers": [manifest["layers"][0] | {"digest": Digest.of(b"other")}]}),
            base.config,
        ),
    ]
    for wrong_manifest, config in cases:
        with pytest.raises(StoreError):
            base_from_parts("cpu", "r", wrong_manifest, config, None, python)


def test_layers_given_are_checked_and_keep_their_paths(make_base: Any, python: PythonFacts) -> None:
    base: Base = make_base("cpu")
    placed = tuple(layer.model_copy(update={"path": Path("/x")}) for layer in base.layers)
    made = base_from_parts("cpu", "r", base.manifest, base.config, placed, python)
    assert [layer.path for layer in made.layers] == [Path("/x")]
    other = tuple(layer.model_copy(update={"size": 1}) for layer in base.layers)
    with pytest.raises(StoreError, match="not those of its manifest"):
        base_from_parts("cpu", "r", base.manifest, base.config, other, python)


def test_dockers_names_of_layers_become_oci(make_base: Any, python: PythonFacts) -> None:
    base: Base = make_base("cpu")
    manifest = json.loads(base.manifest)
    for docker, oci in (("tar", MEDIA_LAYER), ("tar.gzip", f"{MEDIA_LAYER}+gzip")):
        manifest["layers"][0]["mediaType"] = f"application/vnd.docker.image.rootfs.diff.{docker}"
        made = base_from_parts("cpu", "r", canonical_json(manifest), base.config, None, python)
        assert made.layers[0].media_type == oci
    manifest["layers"][0]["mediaType"] = "application/x-unknown"
    with pytest.raises(UsageError, match="x-unknown"):
        base_from_parts("cpu", "r", canonical_json(manifest), base.config, None, python)
