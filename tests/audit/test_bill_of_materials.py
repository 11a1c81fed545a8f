"""Bills of materials: valid for others' schema, exact, and the same each time."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from support.bill_of_materials import fault
from support.finished_run import make_run
from support.records import digest_of, image_facts

from orchestrator.audit.exports.bill_of_materials import sbom
from orchestrator.image.image_model import Layer, LayerKind
from orchestrator.launch.submit.rerun_target import Target
from orchestrator.spec.program import Program


@pytest.fixture
def target() -> Target:
    layers = tuple(
        Layer(kind=kind, digest=digest_of(kind), diff_id=digest_of(kind), size=1)
        for kind in (LayerKind.BASE, LayerKind.WHEELS, LayerKind.SOURCE)
    )
    return Target(
        image=image_facts(layers=layers),
        program=Program(name="digits", command=("python", "x.py"), params={}, seed=0),
        packages={"scikit_learn": "1.7.0", "torch": "2.13.0+cpu"},
        reference="reprise:1",
        original=None,
    )


def test_it_is_valid_for_cyclonedx_own_validator(target: Target) -> None:
    text = sbom(target).decode()
    assert fault(text) is None
    broken = text.replace('"library"', '"no such type"')
    assert fault(broken) is not None


def test_it_names_the_base_and_every_package(target: Target) -> None:
    document = json.loads(sbom(target))
    found = {one["name"]: one for one in document["components"]}
    assert found["base cpu"]["version"] == digest_of("base")
    assert found["torch"]["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert found["scikit_learn"]["purl"] == "pkg:pypi/scikit-learn@1.7.0"
    assert document["metadata"]["component"]["version"] == digest_of("image")


def test_a_box_without_the_layers_says_the_same(target: Target) -> None:
    """There the wheels' names are not known; the run's container had them, under their own names."""
    run = make_run(packages={"scikit-learn": "1.7.0", "torch": "2.13.0+cpu"})
    here = target.model_copy(update={"original": run})
    assert sbom(here) == sbom(here.model_copy(update={"packages": {}}))
    names = [one["name"] for one in json.loads(sbom(here))["components"]]
    assert names == ["base cpu", "scikit-learn", "torch"]


def test_the_same_image_gives_the_same_bytes(target: Target) -> None:
    assert sbom(target) == sbom(target)
    assert str(datetime.now(UTC).year) not in sbom(target).decode().replace(digest_of("image"), "")[:200]
    other = target.model_copy(update={"packages": {"torch": "2.14.0"}})
    assert sbom(other) != sbom(target)
