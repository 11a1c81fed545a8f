"""Outputs with a moment or an id in their paths: paired where that is all that differs, and never else."""

from __future__ import annotations

import random
import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import tries

from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import LINK, Output, OutputStatus
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.outputs.pairing import pair_runs
from orchestrator.verdict.outputs.path_blanks import Window, blanked, scrambled, unlike
from orchestrator.verdict.verdict_model import Outcome, Verdict
from orchestrator.view.verdict_explanation import explain

FIRST = datetime(2026, 11, 29, 13, 50, 26, tzinfo=UTC)
AGAIN = datetime(2026, 11, 30, 9, 5, 7, tzinfo=UTC)
TOOK = timedelta(minutes=3)

FORMS = (
    "outputs/%Y-%m-%d/%H-%M-%S",  # hydra
    "multirun/%Y-%m-%d/%H-%M-%S/0",
    "runs/%b%d_%H-%M-%S_host",  # tensorboard
    "wandb/run-%Y%m%d_%H%M%S-{id8}",
    "wandb/offline-run-%Y%m%d_%H%M%S-{id8}",
    "mlruns/0/{hex32}/artifacts",
    "mlruns/738460982374982374/{hex32}",
    "lightning_logs/%Y%m%dT%H%M%SZ",
    "train_%Y-%m-%d_%H-%M-%S.123456",
    "exp/%d-%m-%Y_%H-%M-%S",
    "exp/%Y.%m.%d-%H:%M",
    "exp/%s",
    "out/{uuid}",
    "out/{hex8}/x",
    "%Y%m%d-%H%M%S",
    "%Y-%m-%d",
    "logs/%H-%M-%S",
)


def filled(form: str, moment: datetime, pick: random.Random) -> str:
    """The path that a run at that moment would write."""
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
    text = form.replace("%s", str(int(moment.timestamp())))
    text = moment.strftime(text)
    text = text.replace("{id8}", "".join(pick.choices(alphabet, k=8)))
    text = text.replace("{uuid}", str(uuid.UUID(int=pick.getrandbits(128), version=4)))
    text = text.replace("{hex32}", f"{pick.getrandbits(128):032x}")
    return text.replace("{hex8}", f"{pick.getrandbits(12):03x}7f{pick.getrandbits(12):03x}")


def link(path: str, text: str) -> Output:
    return Output(path=path, status=OutputStatus.REJECTED, reason=LINK, target=text)


@pytest.fixture
def pair(record: Callable[..., RunRecord], rerun: Callable[..., RunRecord], blobs: Any) -> Callable[..., Any]:
    """`pair({path: bytes}, {path: bytes})`: two runs of other days; a str is a link's text."""

    def outputs(files: dict[str, bytes | str]) -> tuple[Output, ...]:
        return tuple(
            link(path, data) if isinstance(data, str) else blobs.kept(path, data)
            for path, data in files.items()
        )

    def make(left: dict[str, Any], right: dict[str, Any]) -> tuple[RunRecord, RunRecord]:
        one = record(outputs=outputs(left), started_at=FIRST, finished_at=FIRST + TOOK)
        return one, rerun(outputs=outputs(right), started_at=AGAIN, finished_at=AGAIN + TOOK)

    return make


@pytest.fixture
def judged(pair: Callable[..., Any], blobs: Any) -> Callable[..., Verdict]:
    """Judged both ways: the outcome is the same."""

    def judge(left: dict[str, Any], right: dict[str, Any]) -> Verdict:
        one, other = pair(left, right)
        verdict = compare(one, other, blobs.open)
        assert compare(other, one, blobs.open).outcome is verdict.outcome
        return verdict

    return judge


@pytest.mark.parametrize("form", FORMS)
def test_layouts_with_a_moment_or_an_id(judged: Callable[..., Verdict], form: str) -> None:
    pick = random.Random(form)
    before, after = filled(form, FIRST, pick), filled(form, AGAIN, pick)
    files = {"model.pt": b"weights", "metrics.json": b"{}", "a/b.txt": b""}
    left, right = ({f"{folder}/{name}": data for name, data in files.items()} for folder in (before, after))
    same = judged(left | {"config": b"c", "latest": before}, right | {"config": b"c", "latest": after})
    assert same.outcome is Outcome.IDENTICAL
    assert "all 4 outputs are equal byte for byte (3 of them with another path in the rerun)" in same.summary
    assert [(item.original, item.rerun) for item in same.renamed] == sorted(zip(left, right, strict=True))
    assert all(item.why.startswith("without the ") for item in same.renamed)
    assert [item.path for item in same.left_out] == ["latest"]
    other = judged(left, right | {f"{after}/model.pt": b"others"})
    assert other.outcome is Outcome.DIFFERENT
    (item,) = other.files
    assert (item.path, item.first_byte) == (f"{before}/model.pt", 0)


def test_the_verdict_says_so(judged: Callable[..., Verdict], pair: Callable[..., Any]) -> None:
    left, right = {"2026-11-29/a.pt": b"x", "keep": b"k"}, {"2026-11-30/a.pt": b"x", "keep": b"k"}
    lines = explain(judged(left, right), *pair(left, right))
    at = lines.index("1 output with another path in the rerun:")
    assert lines[at + 1] == "  2026-11-29/a.pt -> 2026-11-30/a.pt, paired without the moment in its path"


# A name that is not of the run's time, nor random, is what the job made of it.
REAL = [
    ("2019-01-01.csv", "2020-01-01.csv"),  # of data
    ("2019-01-01_10-00-00/a", "2020-01-01_10-00-00/a"),
    ("10-20-30.txt", "10-20-31.txt"),
    ("best_a", "best_b"),
    ("happy-otter/m", "brave-lions/m"),
    ("resnet50.pt", "resnet18.pt"),
    ("epoch=3-step=400.ckpt", "epoch=4-step=500.ckpt"),
    ("epoch1step20", "epoch1step30"),
    ("lr1e4b64/m", "lr1e3b64/m"),
    ("00000012.pt", "00000013.pt"),
    ("shard-a1b2c3-1", "shard-a1b2c3-2"),
    ("acc0_91/m", "acc0_92/m"),
    ("model-1700000000.pt", "model-1800000000.pt"),
    ("a1b2c3d4.pt", "a1b2c3d5.pt"),
    ("x/a1b2c3d4.pt", "y/f9e8d7c6.pt"),
    ("a1b2c3d4.pt", "f9e8d7c6.pth"),
    ("9f8e7d6c", "9f8e7d6c5b4a"),
]


@pytest.mark.parametrize(("one", "other"), REAL)
def test_another_name_is_a_difference(judged: Callable[..., Verdict], one: str, other: str) -> None:
    verdict = judged({one: b"same bytes", "k": b""}, {other: b"same bytes", "k": b""})
    assert verdict.outcome is Outcome.DIFFERENT
    assert verdict.renamed == ()
    assert [item.note for item in verdict.files] == ["only in the original", "only in the rerun"] or [
        item.note for item in verdict.files
    ] == ["only in the rerun", "only in the original"]


def test_what_came_first_comes_first(judged: Callable[..., Verdict]) -> None:
    def files(day: datetime, *contents: bytes) -> dict[str, bytes]:
        moments = [day + timedelta(seconds=20 * number) for number in range(len(contents))]
        return {f"{at:%Y-%m-%d_%H-%M-%S}/m": data for at, data in zip(moments, contents, strict=True)}

    assert judged(files(FIRST, b"x", b"y"), files(AGAIN, b"x", b"y")).outcome is Outcome.IDENTICAL
    swapped = judged(files(FIRST, b"x", b"y"), files(AGAIN, b"y", b"x"))
    assert (swapped.outcome, len(swapped.files)) == (Outcome.DIFFERENT, 2)
    assert judged(files(FIRST, b"x", b"y"), files(AGAIN, b"x")).outcome is Outcome.DIFFERENT
    assert judged(files(FIRST, b"x"), files(AGAIN, b"x", b"x")).outcome is Outcome.DIFFERENT


@pytest.mark.parametrize("form", ["%Y%m%d_%H%M%S_{}", "%Y-%m-%d_%H-%M-%S-{}", "{}_%Y%m%d-%H%M%S", "%s_{}"])
@pytest.mark.parametrize("length", [6, 7, 8])
def test_a_short_id_beside_a_moment(judged: Callable[..., Verdict], form: str, length: int) -> None:
    """`uuid4().hex[:6]`: of few turns, of which the first digits look like a fraction of the second."""
    words = (
        ("acd82e1f", "9656eb70"),
        ("96561eb0", "f00d4242"),
        ("123abcde", "ab12cd34"),
        ("fade1234", "0bad5678"),
    )
    for pair in words:
        one, other = (moment.strftime(form.replace("%s", str(int(moment.timestamp())))).format(word[:length])
                      for moment, word in zip((FIRST, AGAIN), pair, strict=True))  # fmt: skip
        assert judged(
            {f"r/{one}/m": b"1", "r/latest": one}, {f"r/{other}/m": b"1", "r/latest": other}
        ).outcome is (Outcome.IDENTICAL), (one, other)
        assert judged({f"r/{one}/m": b"1"}, {f"r/{other}/m": b"2"}).outcome is Outcome.DIFFERENT


@pytest.mark.parametrize(
    ("one", "other"), [("fold1a", "fold2b"), ("resnet50", "alexnet8"), ("a1b2c3", "a1b2c4")]
)
def test_a_name_beside_a_moment_is_a_name(judged: Callable[..., Verdict], one: str, other: str) -> None:
    left, right = f"{FIRST:%Y%m%d_%H%M%S}_{one}/m", f"{AGAIN:%Y%m%d_%H%M%S}_{other}/m"
    assert judged({left: b"1"}, {right: b"1"}).outcome is Outcome.DIFFERENT


def test_an_id_stands_for_one_id_everywhere(judged: Callable[..., Verdict]) -> None:
    a, b, c, d = "a1b2c3d4", "0f1e2d3c", "7c6b5a49", "3e4f5061"
    left = {f"{a}/w": b"1", f"{a}/m": b"2", f"{b}/w": b"3", f"{b}/m": b"4"}
    same = {f"{c}/w": b"3", f"{c}/m": b"4", f"{d}/w": b"1", f"{d}/m": b"2"}
    crossed = {f"{c}/w": b"3", f"{c}/m": b"2", f"{d}/w": b"1", f"{d}/m": b"4"}
    assert judged(left, same).outcome is Outcome.IDENTICAL
    assert judged(left, crossed).outcome is Outcome.DIFFERENT
    assert judged(left | {"best": a}, same | {"best": d}).outcome is Outcome.IDENTICAL
    assert judged(left | {"best": a}, same | {"best": c}).outcome is Outcome.DIFFERENT
    assert judged({"best": f"{a}/w", f"{a}/w": b"1"}, {"best": f"{c}/m", f"{c}/w": b"1"}).outcome is (
        Outcome.DIFFERENT
    )


def test_a_link_to_another_of_two_dated_folders_is_a_difference(judged: Callable[..., Verdict]) -> None:
    def files(day: datetime, latest: int, data: bytes = b"same") -> dict[str, Any]:
        moments = [f"{day + timedelta(seconds=20 * number):%Y-%m-%d/%H-%M-%S}" for number in range(2)]
        return {f"o/{at}/m": data for at in moments} | {"o/latest": moments[latest]}

    assert judged(files(FIRST, 1), files(AGAIN, 1)).outcome is Outcome.IDENTICAL
    assert judged(files(FIRST, 1), files(AGAIN, 0)).outcome is Outcome.DIFFERENT


def test_unique_bytes_pair_what_may_be_random(judged: Callable[..., Verdict]) -> None:
    """An id of which chance made a word of letters, beside one with digits."""
    same = judged({"run-qxkzvtrb/m": b"1"}, {"run-7k2pq9xa/m": b"1"})
    assert same.outcome is Outcome.IDENTICAL
    (item,) = same.renamed
    assert item.why == "by its bytes, which no other file without a partner has"
    twice = judged({"run-qxkzvtrb/m": b"1", "run-qwertyui/m": b"1"}, {"run-7k2pq9xa/m": b"1"})
    assert twice.outcome is Outcome.DIFFERENT
    assert judged({"run-qxkzvtrb/m": b""}, {"run-7k2pq9xa/m": b""}).outcome is Outcome.DIFFERENT


def test_a_moment_may_be_of_any_time_zone() -> None:
    window = Window(FIRST, FIRST + TOOK)
    for hours in (-9.5, -8, 0, 5.75, 13):
        local = FIRST.astimezone(timezone(timedelta(hours=hours)))
        found = blanked(f"o/{local:%Y-%m-%d/%H-%M-%S}/m", window)
        assert found.key == "o/\0moment 0\0/m", hours
    assert (
        blanked(f"o/{FIRST - timedelta(minutes=7):%Y-%m-%d_%H-%M-%S}", window).key
        == "o/\0moment 4\0_13-43-26"
    )
    for text in ("13-50-26", "13:51:00"):  # a time alone is one of the container's clock
        assert blanked(text, window).moments, text
        assert not blanked(text.replace("13", "11", 1), window).moments, text
    assert blanked("o/2026-11-29_13-50-26", None).blanks == ()


def test_random_words_are_told_from_names() -> None:
    for word in ("a1b2c3", "k3x9a2b1", "0f1e2d3c", uuid.uuid4().hex.replace("e", "1a"), "12345abc"):
        assert scrambled(word), word
    for word in ("resnet50", "epoch1step20", "fold1of5", "123456", "abcdef", "a1b2", "v2final3b"):
        assert not scrambled(word), word
    assert not unlike("a1b2c3", "a1b2c4")
    assert not unlike("x1y2z3", "x4y5z6")
    hexes = [secrets.token_hex(8) for _ in range(200)]
    assert sum(unlike(one, other) for one, other in pairwise(hexes)) > 190


names = st.sampled_from(["m", "a.pt", "log/x", "best_a", "best_b", "v1", "v2"])
folders = st.sampled_from(["", "out/", "{0}/", "{1}/", "o/{0}/x/", "{2}-"])
contents = st.sampled_from([b"", b"1", b"2"])


@settings(max_examples=tries(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(st.tuples(folders, names), contents, min_size=1, max_size=8),
    links=st.lists(st.tuples(folders, names), max_size=2),
    kind=st.sampled_from(["moments", "ids"]),
    change=st.none() | st.sampled_from(["bytes", "gone", "name", "link"]),
    data=st.data(),
)
def test_an_honest_rerun_is_identical_and_no_other(
    judged: Callable[..., Verdict],
    files: dict[tuple[str, str], bytes],
    links: list[tuple[str, str]],
    kind: str,
    change: str | None,
    data: st.DataObject,
) -> None:
    """The same files under other moments or ids; then one byte, file, name or link is another."""

    def parts(day: datetime) -> list[str]:
        if kind == "moments":
            return [f"{day + timedelta(seconds=31 * number):%Y-%m-%d_%H-%M-%S}" for number in range(3)]
        pick = random.Random(str(day))
        return [hex_word(pick) for _ in range(3)]

    def left_by(day: datetime) -> dict[str, Any]:
        words = parts(day)
        made: dict[str, Any] = {
            (folder + name).format(*words): content for (folder, name), content in files.items()
        }
        for number, (folder, name) in enumerate(links):
            made[f"link{number}"] = (folder + name).format(*words)
        return made

    left, right = left_by(FIRST), left_by(AGAIN)
    if change is None:
        assert judged(left, right).outcome is Outcome.IDENTICAL
        return
    path = data.draw(st.sampled_from(sorted(right)))
    if change == "bytes" and isinstance(right[path], bytes):
        right[path] += b"!"
    elif change == "name":
        right[f"{path}_other"] = right.pop(path)
    elif change == "link" and isinstance(right[path], str):
        right[path] += "/elsewhere"
    else:
        del right[path]
    assert judged(left, right).outcome is not Outcome.IDENTICAL


def hex_word(pick: random.Random) -> str:
    while not scrambled(word := f"{pick.getrandbits(48):012x}"):
        pass
    return word


def test_a_run_with_itself_renames_nothing(pair: Callable[..., Any]) -> None:
    one, _ = pair({"2026-11-29/a": b"1", "b1c2d3/e": b"2", "latest": "2026-11-29"}, {})
    paired = pair_runs(one, one.model_copy(update={"id": "b" * 16}))
    assert (paired.renamed, paired.links) == ((), frozenset())
    assert all(a == b for _, a, b in paired.pairs)
