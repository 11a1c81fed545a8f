"""What a launch by Slurm costs: `reprise submit --on slurm` of print('ok') beside `reprise submit` alone.

    python benchmarks/slurm_launch.py [--rounds 9]

A real controller and its nodes on this machine, on the same engine and home: what is measured is the way, not
the distance. Beside it a bare `sbatch` of `true`, until Slurm says that it is over. Needs Debian's slurmctld,
slurmd, slurm-client and munge.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from rounds import measure, report, run, timed
from scratch import scratch
from support.slurm_cluster import slurm_cluster

from orchestrator.digest import Digest

LOCAL, SLURM, BARE = "reprise submit", "reprise submit --on slurm", "sbatch of true"


def bare() -> None:
    job = run(["sbatch", "--parsable", "--output=/dev/null", "--wrap=true"]).strip()
    while run(["squeue", "-h", "-t", "all", "-j", job, "-o", "%T"]).strip() != "COMPLETED":
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    with scratch() as room:
        home = {"REPRISE_HOME": str(room.settings.home)}
        with slurm_cluster({"n1": home, "n2": home}) as cluster:
            os.environ.update(cluster.variables)
            job = room.folder / "job"
            job.mkdir()
            (job / "ok.py").write_text("print('ok')\n")
            spec = job / "job.yaml"
            spec.write_text("name: ok\nbase: cpu\ncommand: [python3, ok.py]\n")
            digest = Digest(room.reprise("build", "--quiet", str(spec)).split()[-1])
            room.images.add(f"reprise:{digest.hex}")

            def submit(*words: str) -> None:
                out = room.reprise("submit", str(spec), *words)
                if "ok" not in out.split("\n"):
                    raise RuntimeError(f"the job's line is not in the output:\n{out}")

            variants: dict[str, Callable[[], float]] = {
                LOCAL: lambda: timed(submit),
                SLURM: lambda: timed(lambda: submit("--on", "slurm")),
                BARE: lambda: timed(bare),
            }
            seconds = measure(variants, rounds=asked.rounds)
            version = run(["sinfo", "--version"]).strip()
    medians = {name: statistics.median(took) for name, took in seconds.items()}
    report(
        "slurm_launch",
        {"Whole command, print('ok')": seconds},
        slurm=version,
        seconds_over_local=round(medians[SLURM] - medians[LOCAL], 3),
        of_which_slurm_alone=round(medians[BARE], 3),
    )


if __name__ == "__main__":
    main()
