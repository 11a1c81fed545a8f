"""kill -9, a full disk and a failing one at any call of a verb: nothing is lost, half written or left."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache

import pytest
from support.box import Box
from support.faulted_verbs import FAULTS, VERBS, Scene, Trial
from support.services import RegistryServer

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of system calls are x86-64's"),
]

FEW, MANY = 2, 10  # calls of some hundreds; to try all of them takes hours
SHORT = [
    ("submit", "killed"),
    ("data add", "failing"),
]


@pytest.fixture(scope="module")
def trial(
    small: Box, hub: RegistryServer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Trial]:
    scene = cache(lambda: Scene(small, hub, tmp_path_factory.mktemp("scene")))
    return cache(lambda verb: Trial(scene(), verb))


@pytest.mark.parametrize(("verb", "fault"), SHORT)
def test_a_verb_that_is_hit_at_a_call_is_made_good_by_the_next_one(
    trial: Callable[[str], Trial], verb: str, fault: str
) -> None:
    hit(trial(verb), fault, FEW)


@pytest.mark.acceptance
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", VERBS)
def test_at_many_calls(trial: Callable[[str], Trial], verb: str, fault: str) -> None:
    hit(trial(verb), fault, MANY)


def hit(trial: Trial, fault: str, most: int) -> None:
    trouble = [one for point in trial.points(most) for one in trial.fault(fault, point).trouble]
    assert not trouble, "\n".join(trouble)
