from __future__ import annotations

from typing import Any

import pytest

from orchestrator.digest import Digest
from orchestrator.run.attempt_model import MetricPoint, Readback
from orchestrator.spec.jobfile.job_spec import Determinism, Level
from orchestrator.verdict.causes.rank_causes import Evidence, causes
from orchestrator.verdict.compare_runs import compare
from orchestrator.verdict.traces.drift import drifts
from orchestrator.verdict.verdict_model import (
    CauseKind,
    FileDifference,
    Outcome,
    Phase,
    Traced,
    TraceDifference,
)

BASE = {
    "torch.version": "2.13.0",
    "trace": "all:1",
    "torch.num_threads": 1,
    "torch.omp_threads": 1,
    "env.OMP_NUM_THREADS": "1",
    "env.PYTHONHASHSEED": "0",
    "python.hash_randomization": 0,
    "torch.cpu_capability": "AVX2",
    "torch.deterministic_algorithms": True,
    "cudnn.benchmark": False,
    "tf32.cudnn": False,
    "cuda.cublaslt_workspace": 32768,
    "openblas.libscipy_openblas64_.kernel": "Haswell",
}
GPU = {"name": "NVIDIA A100", "compute": "8.0", "sms": 108, "memory": 80, "mig": False}


def flags(end: dict[str, Any] | None = None, pid: int = 7, **start: Any) -> dict[str, Any]:
    """`flags({"torch.num_threads": 2})`: the script moves it. Keyword names have `_` for `.`."""
    begun = BASE | {name.replace("__", "."): value for name, value in start.items()}
    readback = Readback(pid=pid, argv=("python",), start=begun, end=begun | (end or {}))
    return {"readbacks": (readback,)}


def at(phase: Phase, step: int = 3, **facts: Any) -> Evidence:
    return Evidence(first=TraceDifference(phase=phase, step=step, tensor="w", **facts), traced=Traced())


@pytest.fixture
def why(record, rerun):
    """Kinds and texts of the causes of two runs that differ in these fields."""

    def find(
        evidence: Evidence, left: dict[str, Any] | None = None, right: dict[str, Any] | None = None
    ) -> Any:
        one, other = flags() | (left or {}), flags(pid=9) | (right or {})
        found = causes(record(**one), rerun(**other), evidence)
        return [cause.kind for cause in found], [cause.text for cause in found]

    return find


def test_nothing_differs_so_nothing_is_blamed(why):
    assert why(Evidence()) == ([], [])


def test_the_script_itself_is_blamed_where_nothing_else_is_left(why):
    kinds, texts = why(at(Phase.BACKWARD))
    assert kinds == [CauseKind.SCRIPT]
    assert texts[0] == (
        "the same program on the same class of hardware with the same flags: the script itself is"
        " nondeterministic; `reprise compare --operations aaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbb` names the"
        " operation"
    )
    assert "an unseeded generator or unset memory" in why(at(Phase.INIT))[1][0]
    assert "hardware that is not known" in why(at(Phase.BACKWARD), right={"fingerprint": None})[1][0]
    assert "with flags that nobody read" in why(at(Phase.BACKWARD), right={"readbacks": ()})[1][0]


def test_a_lower_level_is_named(why, original):
    program = original.program.model_copy(update={"determinism": Determinism(level=Level.WARN)})
    _, texts = why(at(Phase.FORWARD), {"program": program}, {"program": program})
    assert "determinism.level is warn; strict would refuse" in texts[0]


FLAGS: dict[str, tuple[dict[str, Any], CauseKind, str]] = {
    "threads, by the script": (
        flags({"torch.num_threads": 2, "torch.omp_threads": 2}),
        CauseKind.THREADS,
        "torch.num_threads was 1 in the original and 2 in the rerun (the script set it),"
        " torch.omp_threads too:",
    ),
    "threads, by the environment": (
        flags(env__OMP_NUM_THREADS="4", torch__num_threads=4),
        CauseKind.THREADS,
        "torch.num_threads was 1 in the original and 4 in the rerun, env.OMP_NUM_THREADS too:",
    ),
    "instruction set": (
        flags(torch__cpu_capability="AVX512"),
        CauseKind.HARDWARE,
        "torch.cpu_capability was AVX2 in the original and AVX512 in the rerun: other kernels were chosen",
    ),
    "kernel of OpenBLAS": (
        flags(openblas__libscipy_openblas64___kernel="Zen")
        | {
            "readbacks": (
                Readback(
                    pid=9, argv=(), start=BASE | {"openblas.libscipy_openblas64_.kernel": "Zen"}, end=None
                ),
            )
        },
        CauseKind.HARDWARE,
        "openblas.libscipy_openblas64_.kernel was Haswell in the original and Zen in the rerun",
    ),
    "a flag in one run": (
        flags({"cudnn.benchmark": True}),
        CauseKind.FLAGS_CHANGED,
        "cudnn.benchmark was False in the original and True in the rerun (the script set it): leave it",
    ),
    "workspace": (
        flags(cuda__cublaslt_workspace=8192),
        CauseKind.FLAGS,
        "cuda.cublaslt_workspace was 32768 in the original and 8192 in the rerun: Reprise sets it alike",
    ),
    "tf32": (flags(tf32__cudnn=True), CauseKind.FLAGS, "tf32.cudnn was False in the original and True"),
    "library": (
        flags(torch__version="2.12.0"),
        CauseKind.LIBRARY,
        "torch.version was 2.13.0 in the original",
    ),
}


@pytest.mark.parametrize("name", FLAGS)
def test_what_was_read_back_is_named(why, name):
    right, kind, said = FLAGS[name]
    kinds, texts = why(at(Phase.BACKWARD), right=right)
    assert kinds == [kind]
    assert texts[0].startswith(said)


def test_switches_that_the_script_moved_in_both_runs(why):
    moved = {"torch.deterministic_algorithms": False}
    kinds, texts = why(at(Phase.BACKWARD), flags(moved), flags(moved))
    assert kinds == [CauseKind.FLAGS_CHANGED]
    assert "moved torch.deterministic_algorithms True -> False in both runs" in texts[0]
    kinds, _ = why(at(Phase.BACKWARD), flags({"torch.num_threads": 2}), flags({"torch.num_threads": 2}))
    assert kinds == [CauseKind.SCRIPT], "the same count in both moves nothing"


def test_the_process_that_trains_is_asked_not_its_launcher(why, original):
    launcher = flags()["readbacks"][0].model_copy(update={"pid": 1})
    trainer = flags({"torch.num_threads": 2})["readbacks"][0].model_copy(update={"pid": 9})
    kinds, _ = why(at(Phase.BACKWARD), right={"readbacks": (launcher, trainer)})
    assert kinds == [CauseKind.THREADS]


@pytest.fixture
def gpus(record, original, box):
    def make(**changes: Any) -> dict[str, Any]:
        program = original.program.model_copy(update={"gpus": 1})
        fields = {name: changes.pop(name) for name in ("driver", "vbios") if name in changes}
        return {
            "program": program,
            "fingerprint": box(**({"gpus": [GPU | changes], "driver": "570.1", "world_size": 1} | fields)),
        }

    return make


def test_other_gpus_are_named_first_by_model(why, gpus):
    kinds, texts = why(at(Phase.FORWARD), gpus(), gpus(name="NVIDIA H100", sms=132, compute="9.0"))
    assert kinds == [CauseKind.HARDWARE]
    assert texts[0].startswith(
        "the hardware is of another class (GPU model NVIDIA A100 vs NVIDIA H100, compute capability 8.0 vs"
        " 9.0, SM count 108 vs 132), so equal bits are not promised"
    )


def test_the_driver_comes_last(why, gpus):
    kinds, texts = why(at(Phase.FORWARD), gpus(), gpus(driver="580.2"))
    assert kinds == [CauseKind.SCRIPT, CauseKind.HARDWARE]
    assert texts[1] == "a soft reason, which seldom moves bits: GPU driver 570.1 vs 580.2"


def test_the_order_of_several(why, gpus):
    left = gpus() | flags()
    right = gpus(name="NVIDIA H100", driver="580.2") | flags(
        {"torch.num_threads": 2, "cudnn.benchmark": True}, tf32__cudnn=True, torch__cpu_capability="AVX512"
    )
    kinds, _ = why(at(Phase.BACKWARD), left, right)
    assert kinds == [
        CauseKind.THREADS,
        CauseKind.HARDWARE,  # the instruction set in force
        CauseKind.FLAGS_CHANGED,
        CauseKind.FLAGS,
        CauseKind.HARDWARE,  # the GPU
        CauseKind.HARDWARE,  # the driver
    ]
    kinds, _ = why(at(Phase.BATCH), left, right)
    assert kinds[:2] == [CauseKind.DATA_ORDER, CauseKind.THREADS], "no thread count moves a batch"


def test_generators_and_batches_tell_more_than_hardware(why):
    kinds, texts = why(at(Phase.RNG))
    assert kinds == [CauseKind.SCRIPT]
    assert texts[0].startswith("the generator w was in another state at step 3: the script seeds it")
    kinds, texts = why(at(Phase.BATCH))
    assert kinds == [CauseKind.DATA_ORDER]
    assert "sort lists of files" in texts[0]


def test_the_hash_seed_orders_sets(why):
    kinds, texts = why(at(Phase.BATCH), right=flags(env__PYTHONHASHSEED="5"))
    assert kinds == [CauseKind.FLAGS, CauseKind.DATA_ORDER]
    assert "(env.PYTHONHASHSEED 0 vs 5)" in texts[0]
    isolated = flags(python__hash_randomization=1)
    kinds, texts = why(at(Phase.BATCH), isolated, isolated)
    assert kinds == [CauseKind.FLAGS, CauseKind.DATA_ORDER]
    assert "without -E and -I" in texts[0]


def test_equal_training_and_unequal_files_is_writing(why):
    digest = Digest.of(b"x")
    files = (
        FileDifference(path="log.txt", original=digest, rerun=digest, first_byte=1204),
        FileDifference(path="new", original=None, rerun=digest, note="only in the rerun"),
    )
    evidence = Evidence(trace_equal=True, traced=Traced(steps=100), files=files)
    kinds, texts = why(evidence)
    assert kinds == [CauseKind.WRITING]
    assert texts[0].startswith(
        "training is the same to the bit (100 steps); only what is written beside or after it differs"
        " (log.txt from byte 1,204, new (only in the rerun)):"
    )
    kinds, texts = why(Evidence(files=files))
    assert kinds == [CauseKind.SCRIPT], "nothing says that training was the same"
    assert "look for a clock" in texts[0]


# another program, on purpose


def of(original: Any, **changes: Any) -> dict[str, Any]:
    return {"program": original.program.model_copy(update=changes)}


PROGRAMS: dict[str, tuple[Any, list[CauseKind], str]] = {
    "seed": (
        lambda run: of(run, seed=8, command=("x", "8")),
        [CauseKind.SEED],
        "another seed (seed 7 vs 8)",
    ),
    "param": (
        lambda run: of(run, params={**run.program.params, "lr": 0.2}),
        [CauseKind.PROGRAM],
        "other parameters (params.lr 0.1 vs 0.2)",
    ),
    "input": (
        lambda run: of(run, inputs={"data": Digest.of(b"other")}),
        [CauseKind.INPUT],
        "other input data (inputs.data ",
    ),
    "threads": (
        lambda run: of(run, determinism=Determinism(threads=2)),
        [CauseKind.THREADS],
        "another number of threads asked for (determinism.threads 1 vs 2)",
    ),
    "level": (
        lambda run: of(run, determinism=Determinism(level=Level.OFF)),
        [CauseKind.FLAGS],
        "other determinism asked for (determinism.level strict vs off)",
    ),
    "environment": (
        lambda run: of(run, env={"MODE": "fast", "ATEN_CPU_CAPABILITY": "default"}),
        [CauseKind.PROGRAM],
        "another environment (env.ATEN_CPU_CAPABILITY absent vs default)",
    ),
    "command": (
        lambda run: of(run, command=("true",)),
        [CauseKind.PROGRAM],
        "another program (command",
    ),
    "source": (
        lambda run: {"source": {**run.source, "net.py": "2" * 64}},
        [CauseKind.PROGRAM],
        "other code (source.net.py 111111111111 vs 222222222222)",
    ),
    "packages": (
        lambda run: {"packages": {**run.packages, "numpy": "2.4.5"}},
        [CauseKind.PROGRAM],
        "other packages (packages.numpy 2.4.6 vs 2.4.5)",
    ),
    "image": (
        lambda run: {"image": Digest.of(b"i")},
        [CauseKind.PROGRAM],
        "another image (image ",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_another_program_is_the_cause(why, original, name):
    changes, kinds, said = PROGRAMS[name]
    found, texts = why(at(Phase.INIT), right=changes(original))
    assert found == kinds
    assert texts[0].startswith(said)
    assert texts[0].endswith(", so other results are expected")


@pytest.mark.parametrize(
    ("phase", "kind"),
    [(Phase.INIT, CauseKind.SEED), (Phase.BATCH, CauseKind.INPUT), (Phase.BACKWARD, CauseKind.PROGRAM)],
)
def test_of_several_changes_the_one_that_fits_comes_first(why, original, phase, kind):
    changed = of(original, seed=8, inputs={"data": Digest.of(b"other")}, params={"lr": 1.0})
    assert why(at(phase), right=changed)[0][0] is kind


def test_who_flips_a_seed_is_told_where_it_shows(blobs, original, rerun, trace_of):
    lines = trace_of(pid=9)
    init = next(line for line in lines if line.get("e") == "init")
    init["d"] = "0" * 16 + init["d"][16:]
    verdict = compare(original, rerun(**of(original, seed=8), traces=(blobs.traced(lines),)), blobs.open)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert (verdict.first.phase, verdict.first.step, verdict.first.tensor) == (Phase.INIT, 0, "conv1.weight")
    assert verdict.causes[0].kind is CauseKind.SEED
    other = compare(original, rerun(**of(original, seed=8), traces=(blobs.traced(trace_of(2)),)), blobs.open)
    assert "the traces cannot be set side by side: step count 3 vs 2" in other.notes


# how far apart


def points(*values: float, name: str = "loss", steps: bool = True) -> tuple[MetricPoint, ...]:
    return tuple(
        MetricPoint(name=name, step=index * 10 if steps else None, value=value)
        for index, value in enumerate(values)
    )


def test_series_are_paired_by_step(record, rerun):
    left, right = record(series=points(4.0, 2.0, 1.0)), rerun(series=points(4.0, 2.5, 1.25, 0.5))
    (drift,) = drifts(left, right)
    assert (drift.name, drift.points, drift.differing, drift.first) == ("loss", 3, 2, 10)
    assert (drift.max_abs, drift.max_rel, drift.last_abs) == (0.5, 0.25, 0.25)
    (drift,) = drifts(record(series=points(1, 2, steps=False)), rerun(series=points(1, 3, steps=False)))
    assert drift.first == 1


def test_what_is_not_finite_is_far_from_all_but_itself(record, rerun):
    nan, inf = float("nan"), float("inf")
    left, right = record(series=points(nan, inf, 1.0)), rerun(series=points(nan, inf, nan))
    (drift,) = drifts(left, right)
    assert (drift.differing, drift.first, drift.max_abs, drift.max_rel) == (1, 20, inf, inf)
    assert not drifts(left, rerun(series=points(nan, inf, 1.0)))


def test_final_metrics_count_where_they_have_no_series(record, rerun):
    left = record(metrics={"accuracy": 0.5, "loss": 1.0}, series=points(1.0))
    right = rerun(metrics={"accuracy": 0.25, "loss": 2.0}, series=points(1.0))
    (drift,) = drifts(left, right)
    assert (drift.name, drift.points, drift.first, drift.max_abs, drift.max_rel) == (
        "accuracy",
        1,
        None,
        0.25,
        0.5,
    )
