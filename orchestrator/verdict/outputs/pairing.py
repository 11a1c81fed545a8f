"""Pairs outputs of two runs: by path, then by path without moments and ids, then by unique bytes.

A wrong pair would hide that a name differs. So two outputs are paired only where each moment lies in its run
and each id looks random (path_blanks.py), and where no two pairs contradict each other: an id has one partner
in all paths, and moments keep their order. A file without a partner counts as a file that only one run has.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Output
from orchestrator.run.metrics.event_files import is_event_file
from orchestrator.verdict.outputs.compare_files import Pair, pair_outputs
from orchestrator.verdict.outputs.path_blanks import SHORTEST, Blanked, blanked, mixed, unlike, window_of
from orchestrator.verdict.verdict_model import Renamed

WORKSPACE = "/workspace/"
_BETWEEN = re.compile(r"([^A-Za-z0-9]+)")


@dataclass(frozen=True)
class Paired:
    """`pairs` by the original's path; `links`: those whose texts differ in nothing but a moment or an id."""

    pairs: list[Pair]
    renamed: tuple[Renamed, ...] = ()
    links: frozenset[str] = frozenset()


def pair_runs(original: RunRecord, rerun: RunRecord) -> Paired:
    pairs = pair_outputs(original.outputs, rerun.outputs)
    sides = _Sides(original, rerun)
    alone = [pair for pair in pairs if pair[1] is None or pair[2] is None]
    left = [a for _, a, _ in alone if a is not None and not is_event_file(a.path)]
    right = [b for _, _, b in alone if b is not None and not is_event_file(b.path)]
    mapping = _Mapping()
    found: list[tuple[Output, Output, str]] = []
    if left and right:
        found = _without_blanks(left, right, sides, mapping)
        found += _by_bytes(left, right, found, mapping)
    partner = {id(a): (b, why) for a, b, why in found}
    taken = {id(b) for _, b, _ in found}
    together = [
        (path, a, partner[id(a)][0] if id(a) in partner else b)
        for path, a, b in pairs
        if a is not None or id(b) not in taken
    ]
    renamed = sorted((Renamed(original=a.path, rerun=b.path, why=why) for a, b, why in found), key=_path)
    links = frozenset(path for path, a, b in together if a and b and _same_link(a, b, sides, mapping))
    return Paired(together, tuple(renamed), links)


def _path(item: Renamed) -> str:
    return item.original


class _Sides:
    """Paths of both runs with their moments and ids taken out."""

    def __init__(self, original: RunRecord, rerun: RunRecord) -> None:
        self._windows = window_of(original), window_of(rerun)

    def left(self, path: str) -> Blanked:
        return blanked(path, self._windows[0])

    def right(self, path: str) -> Blanked:
        return blanked(path, self._windows[1])


@dataclass
class _Mapping:
    """The partners of ids and moments, by the pairs made so far."""

    there: dict[tuple[str, str], str] = field(default_factory=dict)
    back: dict[tuple[str, str], str] = field(default_factory=dict)
    moments: dict[str, set[tuple[datetime, datetime]]] = field(default_factory=dict)

    def fits(self, a: Blanked, b: Blanked) -> bool:
        """Whether this pair contradicts none of the others."""
        if a.key != b.key:
            return False
        for one, other in zip(a.blanks, b.blanks, strict=True):
            if one.moment is not None and other.moment is not None:
                if not self._in_time(one.kind, one.moment, other.moment):
                    return False
            elif not self.same_id(one.kind, one.text, other.text):
                return False
        return True

    def _in_time(self, kind: str, one: datetime, other: datetime) -> bool:
        known = self.moments.get(kind, set())
        return not any((one < a and other > b) or (one > a and other < b) for a, b in known)

    def same_id(self, kind: str, one: str, other: str) -> bool:
        known = self.there.get((kind, one)), self.back.get((kind, other))
        if known == (None, None):
            return one == other or unlike(one, other)
        return known == (other, one)

    def add(self, a: Blanked, b: Blanked) -> None:
        for one, other in zip(a.blanks, b.blanks, strict=True):
            if one.moment is not None and other.moment is not None:
                self.moments.setdefault(one.kind, set()).add((one.moment, other.moment))
            else:
                self.there[one.kind, one.text] = other.text
                self.back[one.kind, other.text] = one.text

    def knows(self, a: Blanked, b: Blanked) -> bool:
        """Whether the pairs of files give no moment in one of these paths another partner."""
        for one, other in zip(a.blanks, b.blanks, strict=True):
            if one.moment is None or other.moment is None:
                continue
            known = self.moments.get(one.kind, set())
            named = [pair for pair in known if one.moment == pair[0] or other.moment == pair[1]]
            if named and (one.moment, other.moment) not in named:
                return False
        return True


def _without_blanks(
    left: list[Output], right: list[Output], sides: _Sides, mapping: _Mapping
) -> list[tuple[Output, Output, str]]:
    ours = _grouped((output, sides.left(output.path)) for output in left)
    theirs = _grouped((output, sides.right(output.path)) for output in right)
    marks = _signatures(ours), _signatures(theirs)
    found = []
    for key in sorted(ours.keys() & theirs.keys()):
        if len(ours[key]) != len(theirs[key]):
            continue
        groups = ours[key], theirs[key]
        timed = all(len({path.moments for _, path in group}) == len(group) for group in groups)
        ordered = [
            sorted(group, key=lambda item: item[1].moments if timed else _signature(item[1], mark))
            for group, mark in zip(groups, marks, strict=True)
        ]
        for (a, one), (b, other) in zip(*ordered, strict=True):
            if mapping.fits(one, other):
                mapping.add(one, other)
                found.append((a, b, _why(one)))
    return found


_Group = list[tuple[Output, Blanked]]


def _grouped(items: Iterable[tuple[Output, Blanked]]) -> dict[str, _Group]:
    """By the path without its blanks, and by whether the file was kept. Paths without blanks are left out."""
    found: dict[str, _Group] = {}
    for output, path in items:
        if path.blanks:
            found.setdefault(f"{path.key}\0{output.status}\0{output.reason}", []).append((output, path))
    return found


_Signature = tuple[tuple[tuple[str, str], ...], str]


def _signatures(groups: Mapping[str, _Group]) -> dict[tuple[str, str], _Signature]:
    """For each id, the files in whose paths it stands: ids of two runs with equal files are partners."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for key, group in groups.items():
        for output, path in group:
            for blank in path.ids:
                found.setdefault((blank.kind, blank.text), []).append(
                    (key, output.digest or output.target or "")
                )
    return {name: (tuple(sorted(files)), name[1]) for name, files in found.items()}


def _signature(path: Blanked, known: Mapping[tuple[str, str], _Signature]) -> tuple[_Signature, ...]:
    return tuple(known[blank.kind, blank.text] for blank in path.ids)


def _why(path: Blanked) -> str:
    parts = [word for word, there in (("moment", path.moments), ("id", path.ids)) if there]
    return f"without the {' and the '.join(parts)} in its path"


def _by_bytes(
    left: list[Output], right: list[Output], paired: list[tuple[Output, Output, str]], mapping: _Mapping
) -> Iterator[tuple[Output, Output, str]]:
    """Files whose bytes no other file without a partner has, and whose names differ in random words only."""
    done = {id(output) for pair in paired for output in pair[:2]}
    ours, theirs = (
        _unique(output for output in outputs if id(output) not in done) for outputs in (left, right)
    )
    for digest in sorted(ours.keys() & theirs.keys()):
        a, b = ours[digest], theirs[digest]
        words = _random_words(a.path, b.path)
        if words and all(mapping.same_id("word", one, other) for one, other in words):
            for one, other in words:
                mapping.there["word", one], mapping.back["word", other] = other, one
            yield a, b, "by its bytes, which no other file without a partner has"


def _unique(outputs: Iterable[Output]) -> dict[str, Output]:
    listed = [output for output in outputs if output.digest is not None and output.size]
    times = Counter(output.digest for output in listed)
    return {str(output.digest): output for output in listed if times[output.digest] == 1}


def _random_words(one: str, other: str) -> list[tuple[str, str]]:
    """Words in which two paths differ; empty where one of them does not look random."""
    split = [_BETWEEN.split(path) for path in (one, other)]
    if len(split[0]) != len(split[1]) or split[0][1::2] != split[1][1::2]:
        return []
    words = [pair for pair in zip(split[0][::2], split[1][::2], strict=True) if pair[0] != pair[1]]
    return words if all(_may_be_random(*pair) for pair in words) else []


def _may_be_random(one: str, other: str) -> bool:
    return len(one) >= SHORTEST and (mixed(one) or mixed(other)) and unlike(one, other)


def _same_link(a: Output, b: Output, sides: _Sides, mapping: _Mapping) -> bool:
    """Whether two links lead to files that are partners."""
    if a.link is None or b.link is None or a.link == b.link:
        return False
    if sides.left(a.link).key != sides.right(b.link).key:
        return False
    one, other = sides.left(_leads_to(a)), sides.right(_leads_to(b))
    if not one.blanks or not mapping.fits(one, other) or not mapping.knows(one, other):
        return False
    mapping.add(one, other)
    return True


def _leads_to(link: Output) -> str:
    """The target as a path in the workspace, where it stays in there."""
    text = str(link.link)
    if text.startswith("/"):
        return text.removeprefix(WORKSPACE)
    return posixpath.normpath(posixpath.join(posixpath.dirname(link.path), text))
