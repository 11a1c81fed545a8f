"""A record with a small study in it, as a person has after an afternoon, and one run of hostile strings."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from orchestrator.launch.session import Session
from orchestrator.run.attempt_model import (
    Failure,
    Fingerprint,
    Log,
    LoggedParam,
    MetricPoint,
    Output,
    OutputStatus,
    Readback,
    State,
)
from orchestrator.settings import Settings
from orchestrator.spec.source.source_tree import GitState
from support.records import BOX, NOON, digest_of, finish_run, new_run

RATES, SEEDS = (0.001, 0.01, 0.1), (1, 2, 3)
START = NOON.timestamp()  # of the good runs; `accuracy` comes without times
STEPS = 40  # points of each metric of a good run
LOG = "".join(f"epoch {step}: loss {1 / (step + 1):.4f}\n" for step in range(STEPS))
PATCH = "--- a/train.py\n+++ b/train.py\n@@ -1,2 +1,2 @@\n import torch\n-lr = 0.1\n+lr = 0.01\n"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc000000301"
    "0100c9fe92ef0000000049454e44ae426082"
)
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<b hx-get=/runs hx-trigger=load>x</b>",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "javascript:alert(1)",
    "=cmd|' /C calc'!A0",
    "\x1b[31mred\x1b[0m \u202etxt.exe \x00",
    "<!--<svg/onload=alert(1)>-->",
    "x" * 300,
)


class Seeded:
    """The runs by what they are: `best`, `failed`, `running`, `queued`, `rerun`, `hostile`, and `grid`."""

    def __init__(self) -> None:
        self.grid: list[str] = []
        self.named: dict[str, str] = {}

    def __getattr__(self, name: str) -> str:
        try:
            return self.named[name]
        except KeyError:
            raise AttributeError(name) from None


def seed(settings: Settings) -> Seeded:
    seeded = Seeded()
    with Session(settings) as session:
        record, store = session.record, session.store
        log, patch = store.put_bytes(LOG.encode()), store.put_bytes(PATCH.encode())
        outputs = _outputs(session)
        record.boxes.introduce(BOX)
        for rate in RATES:
            for number in SEEDS:
                asked = {"params": {"lr": rate, "optimizer": "adam", "layers": 3}, "seed": number}
                run = finish_run(
                    record,
                    new_run(**asked, image=f"image {rate} {number}", git=_git(patch)),
                    box="b0",
                    **_good(rate, number),
                    outputs=outputs,
                    log=Log(digest=log, size=len(LOG), truncated=False),
                )
                seeded.grid.append(run)
        seeded.named["best"] = seeded.grid[4]
        seeded.named["failed"] = finish_run(
            record,
            new_run(params={"lr": 10.0, "optimizer": "sgd", "layers": 3}, seed=1, image="failed"),
            box="b0",
            state=State.FAILED,
            failure=Failure.JOB,
            exit_code=1,
            message="loss is NaN at step 3",
            log=Log(digest=log, size=len(LOG), truncated=True),
        )
        rerun = new_run(image="image 0.01 2", params={"lr": 0.01}, seed=2, rerun_of=seeded.best)
        seeded.named["rerun"] = finish_run(record, rerun, box="b0", **_good(0.01, 2))
        seeded.named["running"], _ = record.submit(new_run(params={"lr": 0.5}, seed=9, image="running"))
        attempt = record.claim(seeded.running, "b0", "boot", "pid 1")
        record.append_log(seeded.running, attempt, 0, b"epoch 0\n")
        seeded.named["hostile"] = _hostile(session)
        seeded.named["queued"], _ = record.submit(new_run(params={"lr": 0.7}, seed=9, image="queued"))
        record.annotations.note(seeded.best, "the one to ship", "ada")
        record.annotations.tag(seeded.best, ["paper"], "ada")
        record.annotations.name("production", seeded.best, "ada")
    return seeded


def _good(rate: float, number: int) -> dict[str, Any]:
    """What a run of the grid leaves: 0.01 is best, and the seed moves it a little."""
    goal = 0.95 - 0.05 * abs(math.log10(rate) + 2) + 0.001 * number
    series = [
        MetricPoint(name=name, step=step, value=value, at=START + step * 1.5 if name == "loss" else None)
        for step in range(STEPS)
        for name, value in (("accuracy", goal * (1 - 0.9 ** (step + 1))), ("loss", 1 / (step + 1) + rate))
    ]
    return {
        "metrics": {"accuracy": series[-2].value, "loss": series[-1].value},
        "series": tuple(series),
        "started_at": NOON,
        "finished_at": NOON + timedelta(seconds=60 + number),
        "seconds": 60.0 + number,
        "packages": {"torch": "2.13.0", "numpy": "2.3.0"},
        "source": {"train.py": "ab" * 32},
        "readbacks": (
            Readback(pid=7, argv=("python",), start={"benchmark": False}, end={"benchmark": False}),
        ),
        "fingerprint": Fingerprint(
            bit_class={"cpu_isa": ["avx2"]},
            perf_class={"cpu_model": "EPYC 9454", "cores": 8},
            identity={"host": "x"},
            bit_digest=digest_of("bits"),
        ),
    }


def _outputs(session: Session) -> tuple[Output, ...]:
    files = {
        "model.pt": b"PK\x03\x04 not really",
        "report.html": b"<script>alert(document.cookie)</script>",
        "plot.png": PNG,
        "scores.csv": b"name,score\na,0.9\nb,0.8\n",
        "notes.txt": b"first line\nsecond line\n",
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    }
    return tuple(
        Output(path=path, status=OutputStatus.KEPT, digest=session.store.put_bytes(data), size=len(data))
        for path, data in files.items()
    )


def _git(patch: Any) -> GitState:
    return GitState(
        remote="https://example.org/ada/digits",
        commit="c" * 40,
        branch="main",
        subject="Try a smaller rate",
        dirty=True,
        patch_digest=patch,
    )


def _hostile(session: Session) -> str:
    """A run all of whose free strings are hostile: the recorded names and values of a job are its own."""
    texts = {f"p{number}": text for number, text in enumerate(HOSTILE)}
    log = "\n".join(HOSTILE).encode()
    digest = session.store.put_bytes(log)
    record = session.record
    run = finish_run(
        record,
        new_run(
            job="hostile",
            description=HOSTILE[0],
            params={**texts, "lr": 0.01},
            image="hostile",
            submitted_by=HOSTILE[1],
        ),
        box="b0",
        message=HOSTILE[1],
        metrics=dict.fromkeys(HOSTILE, 1.0),
        logged={text: LoggedParam(value=text, source=text) for text in HOSTILE},
        packages={HOSTILE[0]: HOSTILE[1]},
        outputs=tuple(
            Output(path=text, status=OutputStatus.KEPT, digest=digest, size=len(log)) for text in HOSTILE[:7]
        ),
        log=Log(digest=digest, size=len(log), truncated=False),
        notes=(HOSTILE[0],),
        source={HOSTILE[0]: "ab" * 32},
        readbacks=(Readback(pid=7, argv=(HOSTILE[0],), start={HOSTILE[0]: HOSTILE[1]}, end={HOSTILE[0]: 1}),),
    )
    for text in HOSTILE:
        record.annotations.note(run, text, HOSTILE[1])
    return run
