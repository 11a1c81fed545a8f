"""Importance: known shares are found, names and order decide nothing, nothing stored breaks it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.analysis.importance.parameter_importance import (
    FEWEST_RUNS,
    Importance,
    Trial,
    parameter_importance,
)

LR, OPTIMIZER = 0.865, 0.135


def trials(count: int, seed: int = 0) -> list[Trial]:
    """A metric of which the learning rate decides 86.5 %, the optimizer the rest, and three duds nothing."""
    chance = random.Random(seed)
    kinds = {"sgd": -math.sqrt(1.5), "adam": 0.0, "lion": math.sqrt(1.5)}  # of variance 1
    found = []
    for _ in range(count):
        place, optimizer = chance.random(), chance.choice(list(kinds))
        of_lr = ((place - 0.6) ** 2 - 0.0933333) / 0.0934  # of variance 1, around 0
        params: dict[str, Any] = {
            "lr": 10 ** (5 * place - 5),
            "optimizer": optimizer,
            "dud": chance.random(),
            "batch": chance.choice([16, 32, 64]),
            "amp": chance.choice([True, False]),
        }
        found.append(Trial(params, math.sqrt(LR) * of_lr + math.sqrt(OPTIMIZER) * kinds[optimizer]))
    return found


def shares(found: Importance) -> dict[str, float]:
    return {", ".join(share.names): share.share for share in found.shares}


@pytest.mark.parametrize(("count", "within"), [(200, 0.05), (1000, 0.03)])
def test_known_shares_are_found(count: int, within: float) -> None:
    found = parameter_importance(trials(count))
    assert found.told
    assert found.r2 is not None
    assert found.r2 > 0.9
    got = shares(found)
    assert got["lr"] == pytest.approx(LR, abs=within)
    assert got["optimizer"] == pytest.approx(OPTIMIZER, abs=within)
    assert all(got[dud] < 0.02 for dud in ("dud", "batch", "amp"))
    assert [share.names for share in found.shares[:2]] == [["lr"], ["optimizer"]]


def test_noise_and_few_runs_cannot_be_told() -> None:
    chance = random.Random(1)
    noise = [trial._replace(value=chance.random()) for trial in trials(200)]
    found = parameter_importance(noise)
    assert not found.told
    assert "explain too little" in found.why_not
    assert found.r2 is not None
    few = parameter_importance(trials(FEWEST_RUNS - 1))
    assert (few.told, few.why_not) == (False, "20 runs with this metric are needed, and 19 have it")
    assert parameter_importance(trials(FEWEST_RUNS)).r2 is not None
    assert (
        "no parameter differs" in parameter_importance([Trial({"a": 1}, float(n)) for n in range(30)]).why_not
    )
    assert "same in all" in parameter_importance([Trial({"a": n}, 1.0) for n in range(30)]).why_not


def test_parameters_that_go_together_are_one_line() -> None:
    """Which of the two it was cannot be told, so neither of them gets the share alone."""
    both = [
        trial._replace(
            params={**trial.params, "warmup": 1000 * trial.params["lr"], "kind": str(trial.params["amp"])}
        )  # type: ignore[operator]
        for trial in trials(200)
    ]
    got = shares(parameter_importance(both))
    assert got["lr, warmup"] == pytest.approx(LR, abs=0.05)
    assert "amp, kind" in got


def test_the_absence_of_a_parameter_counts() -> None:
    """`momentum` is there for one optimizer only."""
    chance = random.Random(2)
    found = []
    for _ in range(200):
        with_it = chance.random() < 0.5
        params: dict[str, Any] = {"other": chance.random()} | (
            {"momentum": chance.random()} if with_it else {}
        )
        found.append(Trial(params, 5.0 * with_it + chance.random()))
    got = parameter_importance(found)
    assert got.shares[0].names == ["momentum"]
    assert got.shares[0].share > 0.9


def test_the_sign_says_which_way() -> None:
    chance = random.Random(3)
    rows = [
        ({"up": chance.random(), "down": chance.random(), "word": chance.choice("ab")}) for _ in range(100)
    ]
    found = parameter_importance([Trial(row, 2 * row["up"] - row["down"]) for row in rows])  # type: ignore[operator]
    signs = {share.names[0]: share.signs[0] for share in found.shares}
    assert signs["up"] is not None
    assert signs["up"] > 0.5
    assert signs["down"] is not None
    assert signs["down"] < -0.2
    assert signs["word"] is None


def test_of_many_parameters_those_that_go_least_with_it_are_named() -> None:
    chance = random.Random(4)
    rows: list[dict[str, Any]] = [{f"p{n:02}": chance.random() for n in range(25)} for _ in range(60)]
    found = parameter_importance([Trial(row, row["p24"]) for row in rows])
    assert found.shares[0].names == ["p24"]
    assert len(found.beyond) == 5


def test_newest_runs_count_and_the_others_are_counted() -> None:
    found = parameter_importance([*trials(1000), *trials(5, 9), Trial({}, math.nan)])
    assert (found.runs, found.over, found.unusable) == (1000, 5, 1)


_names = st.text(min_size=1, max_size=4)
_renames = st.permutations(["lr", "optimizer", "dud", "batch", "amp", "\u202eevil", "__class__"])
_monotone: dict[str, Callable[[float], float]] = {
    "log": math.log,
    "cube": lambda number: number**3,
    "shift": lambda number: 7 * number - 3,
}


@settings(max_examples=8)
@given(st.randoms(use_true_random=False), _renames, st.sampled_from(sorted(_monotone)))
def test_order_names_and_monotone_scales_decide_nothing(
    chance: random.Random, names: list[str], scale: str
) -> None:
    given_trials = trials(60)
    before = shares(parameter_importance(given_trials))
    new = dict(zip(given_trials[0].params, names, strict=False))

    def changed(name: str, value: Any) -> Any:
        return _monotone[scale](value) if name == "lr" else f"{value}!" if name == "optimizer" else value

    moved = [
        Trial({new[name]: changed(name, value) for name, value in trial.params.items()}, trial.value)
        for trial in given_trials
    ]
    chance.shuffle(moved)
    after = shares(parameter_importance(moved))
    assert after == pytest.approx({new[name]: share for name, share in before.items()})


_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["", "a", 1, "1"]),
)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from("abc\x00é"), _values), st.floats(width=64)),
        min_size=FEWEST_RUNS,
        max_size=40,
    )
)
def test_nothing_that_is_stored_breaks_it(rows: list[tuple[dict[str, Any], float]]) -> None:
    found = parameter_importance([Trial(params, value) for params, value in rows])
    assert found.told or found.why_not
    if found.told:
        assert sum(share.share for share in found.shares) == pytest.approx(1)
        assert all(0 <= share.share <= 1 for share in found.shares)
