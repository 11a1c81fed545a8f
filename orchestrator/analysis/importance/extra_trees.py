"""Extremely randomised trees (Geurts, Ernst and Wehenkel 2006) with out-of-bag permutation, in plain Python.

Each tree is grown on a bootstrap sample of the runs. At each node every parameter gets one cut at random, and
the one that lowers the squared error most is taken. The runs that a tree has not seen say how well it
predicts, and how much worse after a parameter's values were shuffled among them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

from orchestrator.analysis.importance.parameter_column import ABSENT, Column

TREES = (20, 100)  # the fewest and the most: more where there are few runs
GROWN = 20_000  # runs in all samples together
LEAF = 4  # runs in a leaf, at least
DEPTH = 200
SEED = 20_261_129


class _Split(NamedTuple):
    feature: int
    ordered: bool
    cut: int  # of numbers: lesser codes go left; of categories: a bit for each code, those with 1 go left
    left: Node
    right: Node


Node = float | _Split


class Forest(NamedTuple):
    r2: float  # out-of-bag
    increase: list[float]  # of the squared error, for each group of columns that was shuffled


def grow(columns: Sequence[Column], target: Sequence[float], shuffled: Sequence[Sequence[int]]) -> Forest:
    """`shuffled`: groups of places of columns, each shuffled as one. The same input gives the same forest."""
    chance = random.Random(SEED)  # noqa: S311  (nothing secret)
    runs = len(target)
    codes = [column.codes for column in columns]
    predicted, votes = [0.0] * runs, [0] * runs
    increase, trees = [0.0] * len(shuffled), 0
    for _ in range(max(TREES[0], min(TREES[1], GROWN // runs))):
        sample = [chance.randrange(runs) for _ in range(runs)]
        unseen = sorted(set(range(runs)) - set(sample))
        tree, used = _tree(columns, target, sample, chance)
        if not unseen:
            continue
        trees += 1
        error = 0.0
        for row in unseen:
            guess = _predict(tree, codes, row)
            predicted[row] += guess
            votes[row] += 1
            error += (guess - target[row]) ** 2
        for place, group in enumerate(shuffled):
            others = unseen[:]
            chance.shuffle(others)
            if used.isdisjoint(group):
                continue
            moved = _moved_error(tree, codes, target, list(zip(unseen, others, strict=True)), set(group))
            increase[place] += (moved - error) / len(unseen)
    return Forest(_r2(predicted, votes, target), [one / max(1, trees) for one in increase])


def _r2(predicted: Sequence[float], votes: Sequence[int], target: Sequence[float]) -> float:
    rows = [row for row, count in enumerate(votes) if count]
    if not rows:
        return 0.0
    mean = sum(target[row] for row in rows) / len(rows)
    whole = sum((target[row] - mean) ** 2 for row in rows)
    left = sum((predicted[row] / votes[row] - target[row]) ** 2 for row in rows)
    return 1 - left / whole if whole > 0 else 0.0


def _tree(
    columns: Sequence[Column], target: Sequence[float], sample: list[int], chance: random.Random
) -> tuple[Node, set[int]]:
    """The tree, and the columns that it asks for. Its depth is bounded by what is left of the sample."""
    used: set[int] = set()

    def node(rows: list[int], depth: int) -> Node:
        values = [target[row] for row in rows]
        if len(rows) >= 2 * LEAF and depth < DEPTH and min(values) < max(values):
            found = _best_cut(columns, rows, values, chance)
            if found is not None:
                feature, cut = found
                used.add(feature)
                column = columns[feature]
                goes = _sides(column, [column.codes[row] for row in rows], cut)
                left = node([row for row, side in zip(rows, goes, strict=True) if side], depth + 1)
                right = node([row for row, side in zip(rows, goes, strict=True) if not side], depth + 1)
                return _Split(feature, column.ordered, cut, left, right)
        return sum(values) / len(values)

    return node(sample, 0), used


def _best_cut(
    columns: Sequence[Column], rows: list[int], values: list[float], chance: random.Random
) -> tuple[int, int] | None:
    """A column and a cut of it, of one random cut for each."""
    best, found, total = 0.0, None, sum(values)
    for feature, column in enumerate(columns):
        codes = [column.codes[row] for row in rows]
        cut = _random_cut(column, codes, chance)
        if cut is None:
            continue
        inside = list(compress(values, _sides(column, codes, cut)))
        count, other = len(inside), len(rows) - len(inside)
        if count < LEAF or other < LEAF:
            continue
        below = sum(inside)
        gain = below * below / count + (total - below) ** 2 / other
        if found is None or gain > best:
            best, found = gain, (feature, cut)
    return found


def _sides(column: Column, codes: list[int], cut: int) -> list[int] | list[bool]:
    """For each code whether it goes left."""
    if column.ordered:
        return [code < cut for code in codes]
    return [cut >> (code + 1) & 1 for code in codes]


def _random_cut(column: Column, codes: list[int], chance: random.Random) -> int | None:
    """None where all codes are the same."""
    least, greatest = min(codes), max(codes)
    if least == greatest:
        return None
    if column.ordered:
        # Where some runs lack the parameter, they are told apart from the rest as often as not.
        if least == ABSENT and chance.random() < 0.5:
            return 0
        return chance.randint(least + 1, greatest)
    while True:
        bits = chance.getrandbits(column.distinct + 1)
        sides = {bits >> (code + 1) & 1 for code in codes}
        if len(sides) == 2:
            return bits


def _goes_left(split: _Split, code: int) -> bool:
    return code < split.cut if split.ordered else bool(split.cut >> (code + 1) & 1)


def _predict(tree: Node, codes: Sequence[Sequence[int]], row: int) -> float:
    while isinstance(tree, _Split):
        tree = tree.left if _goes_left(tree, codes[tree.feature][row]) else tree.right
    return tree


def _moved_error(
    tree: Node,
    codes: Sequence[Sequence[int]],
    target: Sequence[float],
    pairs: Sequence[tuple[int, int]],
    group: set[int],
) -> float:
    """The squared error where each run takes the group's values from another one."""
    error = 0.0
    for row, other in pairs:
        node = tree
        while isinstance(node, _Split):
            code = codes[node.feature][other if node.feature in group else row]
            node = node.left if _goes_left(node, code) else node.right
        error += (node - target[row]) ** 2
    return error
