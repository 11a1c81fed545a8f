"""Script or hardware? Every combination of verdicts and boxes, and what is concluded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Fingerprint
from orchestrator.spec.jobfile.job_spec import Resources
from orchestrator.verdict.judge_replay import ReplayConclusion, Second, Source, conclude, no_second_run
from orchestrator.verdict.verdict_model import Outcome, Verdict

Make = Callable[..., RunRecord]
IDENTICAL, NEAR, DIFFERENT = Outcome.IDENTICAL, Outcome.WITHIN_TOLERANCE, Outcome.DIFFERENT
BARE, FAILED, OTHER = Outcome.NOT_INSTRUMENTED, Outcome.FAILED, Outcome.NOT_COMPARABLE


def verdict(outcome: Outcome) -> Verdict:
    return Verdict(outcome=outcome, original="a", rerun="b", summary=f"{outcome.value}: because")


def box(vendor: str, cores: int = 2, threads: int = 1) -> Fingerprint:
    bits = {
        "gpus": [],
        "driver": None,
        "vbios": [],
        "world_size": 0,
        "cpu_vendor": vendor,
        "cpu_isa": ["avx2", "fma"],
        "machine": "x86_64",
        "effective": {"torch.num_threads": threads},
    }
    digest = "sha256:" + ("a" if vendor == "GenuineIntel" else "b") * 64
    return Fingerprint.model_validate(
        {"bit_class": bits, "perf_class": {"cores": cores}, "identity": {}, "bit_digest": digest}
    )


INTEL, AMD = box("GenuineIntel"), box("AuthenticAMD")


@pytest.fixture
def concluded(record: Make) -> Callable[..., ReplayConclusion]:
    """The rerun and the second run were made on the box `here`, an Intel; the original elsewhere or here."""

    def make(
        against_original: Outcome,
        against_rerun: Outcome,
        there: str = "there",
        fingerprint: Fingerprint | None = INTEL,
        second: dict[str, Any] | None = None,
        **original: Any,
    ) -> ReplayConclusion:
        first = record(id="a" * 16, box=there, fingerprint=fingerprint, **original)
        rerun = record(id="b" * 16, box="here", fingerprint=INTEL)
        again = record(**({"id": "c" * 16, "box": "here", "fingerprint": INTEL} | (second or {})))
        made = Second(
            run=again, against_original=verdict(against_original), against_rerun=verdict(against_rerun)
        )
        return conclude(first, rerun, made)

    return make


@pytest.mark.parametrize(
    ("outcome", "source"),
    [
        (IDENTICAL, Source.NOTHING),
        (NEAR, Source.NOTHING),
        (DIFFERENT, None),
        (BARE, Source.INCONCLUSIVE),
        (OTHER, Source.INCONCLUSIVE),
        (FAILED, Source.INCONCLUSIVE),
        (None, Source.INCONCLUSIVE),
    ],
)
def test_a_second_run_is_made_only_where_it_tells_something(
    outcome: Outcome | None, source: Source | None
) -> None:
    found = no_second_run(verdict(outcome) if outcome else None)
    assert (found.source if found else None) is source
    if found is not None:
        assert "no second run" in found.summary or "none was made" in found.summary


TABLE: list[tuple[Outcome, Outcome, str, Fingerprint | None, Source, str]] = [
    # second vs original, second vs rerun, the original's box and its hardware -> source, words
    (DIFFERENT, DIFFERENT, "there", INTEL, Source.SCRIPT, "nondeterministic"),
    (DIFFERENT, DIFFERENT, "here", INTEL, Source.SCRIPT, "nondeterministic"),
    (DIFFERENT, DIFFERENT, "there", AMD, Source.SCRIPT, "may add to it"),
    (DIFFERENT, DIFFERENT, "there", None, Source.SCRIPT, "nondeterministic"),
    (IDENTICAL, DIFFERENT, "there", AMD, Source.SCRIPT, "gave the original's bits"),
    (NEAR, DIFFERENT, "there", INTEL, Source.SCRIPT, "nondeterministic"),
    (DIFFERENT, NEAR, "there", INTEL, Source.SCRIPT, "within the spec's tolerances"),
    (DIFFERENT, IDENTICAL, "there", AMD, Source.BOXES, "cpu_vendor (AuthenticAMD vs GenuineIntel)"),
    (DIFFERENT, IDENTICAL, "there", INTEL, Source.BOXES, "of one bit class"),
    (DIFFERENT, IDENTICAL, "there", box("GenuineIntel", 64), Source.BOXES, "cores (64 vs 2)"),
    (DIFFERENT, IDENTICAL, "there", None, Source.BOXES, "recorded no hardware"),
    (DIFFERENT, IDENTICAL, "here", AMD, Source.BOX_CHANGED, "cpu_vendor"),
    (DIFFERENT, IDENTICAL, "here", INTEL, Source.UNRECORDED, "made on this same box"),
    (DIFFERENT, IDENTICAL, "there", box("GenuineIntel", 2, 8), Source.BOXES, "torch.num_threads (8 vs 1)"),
    (DIFFERENT, IDENTICAL, "here", box("GenuineIntel", 2, 8), Source.UNRECORDED, "libraries saw differs"),
    (DIFFERENT, BARE, "there", AMD, Source.BOXES, "what would have been traced is not known"),
    (IDENTICAL, IDENTICAL, "there", AMD, Source.INCONCLUSIVE, "that cannot be"),
    (NEAR, IDENTICAL, "there", AMD, Source.INCONCLUSIVE, "that cannot be"),
    (FAILED, FAILED, "there", AMD, Source.INCONCLUSIVE, "could not be compared"),
    (OTHER, OTHER, "here", INTEL, Source.INCONCLUSIVE, "could not be compared"),
]


@pytest.mark.parametrize(("original", "rerun", "there", "hardware", "source", "words"), TABLE)
def test_what_three_runs_say(
    concluded: Callable[..., ReplayConclusion],
    original: Outcome,
    rerun: Outcome,
    there: str,
    hardware: Fingerprint | None,
    source: Source,
    words: str,
) -> None:
    found = concluded(original, rerun, there, hardware)
    assert found.source is source
    assert words in " ".join((found.summary, *found.reasons))


def test_limits_that_were_changed_are_named(concluded: Callable[..., ReplayConclusion]) -> None:
    found = concluded(DIFFERENT, IDENTICAL, "here", resources=Resources(cpus=8))
    assert found.source is Source.UNRECORDED
    assert found.soft["resources.cpus"] == (8.0, None)
    assert "resources.cpus (8.0 vs absent)" in " ".join(found.reasons)


def test_two_runs_here_on_other_hardware_are_doubted(concluded: Callable[..., ReplayConclusion]) -> None:
    assert "did not have the same hardware" in str(
        concluded(DIFFERENT, DIFFERENT, second={"fingerprint": AMD}).reasons
    )
    assert "different boxes" in str(concluded(DIFFERENT, DIFFERENT, second={"box": "third"}).reasons)
    assert not concluded(DIFFERENT, IDENTICAL, fingerprint=AMD).reasons
