"""The GPUs that a rerun would get decide what is expected of it; which ones there are is made up here."""

from __future__ import annotations

from typing import Any

import pytest
from support.records import run_record

from orchestrator.digest import Digest
from orchestrator.launch.judge.predict_rerun import predict_on_box
from orchestrator.launch.submit.rerun_run import RerunRequest
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Fingerprint
from orchestrator.run.hardware import Gpu, host_bits, sms_of
from orchestrator.spec.jobfile.job_spec import Resources
from orchestrator.spec.program import Program

DIGEST = Digest.of(b"any")


def gpu(name: str, **fields: Any) -> Gpu:
    facts: dict[str, Any] = {
        "uuid": f"GPU-{name}",
        "name": f"NVIDIA {name}",
        "compute": "9.0",
        "sms": 132,
        "memory": 80 << 30,
        "driver": "550.1",
        "vbios": "96",
        "mig": False,
    }
    return Gpu(**(facts | fields))


def made_on(used: tuple[Gpu, ...], **resources: Any) -> RunRecord:
    return run_record(
        program=Program(name="x", command=("x",), gpus=len(used)),
        resources=Resources(gpus=len(used), **resources),
        box="there",
        fingerprint=Fingerprint(
            bit_class=host_bits(used) | {"effective": {}}, perf_class={}, identity={}, bit_digest=DIGEST
        ),
    )


REQUEST = RerunRequest(target="aaaa")
OLD, NEW = gpu("A100", compute="8.0", sms=108), gpu("H100")


def test_the_first_gpu_that_fits_is_the_one_that_counts() -> None:
    run = made_on((NEW,))
    assert predict_on_box(run, REQUEST, (NEW, OLD), "here").same
    other = predict_on_box(run, REQUEST, (OLD, NEW), "here")
    assert not other.same
    assert other.fields["gpus.0.name"] == ("NVIDIA H100", "NVIDIA A100")
    assert any("--gpu 'NVIDIA H100'" in reason for reason in other.reasons)
    asked = RerunRequest(target="aaaa", resources={"gpu": "h100"})
    assert predict_on_box(run, asked, (OLD, NEW), "here").same


def test_a_box_that_lacks_them_says_so() -> None:
    found = predict_on_box(made_on((NEW, NEW)), REQUEST, (NEW,), "here")
    assert (found.same, found.exit_code) == (False, 4)
    assert found.fields == {"gpus": ("NVIDIA H100, NVIDIA H100", "NVIDIA H100")}
    assert "cannot run it" in found.summary
    assert "none" in str(predict_on_box(made_on((NEW,)), REQUEST, (), "here").fields)


def test_another_driver_is_soft() -> None:
    found = predict_on_box(made_on((NEW,)), REQUEST, (gpu("H100", driver="560.2"),), "here")
    assert found.same
    assert found.soft == {"driver": ("550.1", "560.2")}


@pytest.mark.parametrize(
    ("cores", "compute", "sms"),
    [
        (16896, "9.0", 132),
        (6912, "8.0", 108),
        (16384, "8.9", 128),
        (None, "9.0", None),
        (100, "9.0", None),
        (64, "99.0", None),
    ],
)
def test_sms_from_cores(cores: int | None, compute: str, sms: int | None) -> None:
    """The first three: H100 SXM, A100, RTX 4090, from NVIDIA's data sheets."""
    assert sms_of(cores, compute) == sms
