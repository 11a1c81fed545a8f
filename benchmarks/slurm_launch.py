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
import time
from collections.abc import Callable

from rounds import measure, report, run, timed
from scratch import scratch
from support.slurm_cluster import slurm_cluster

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
            spec = room.ok_job("job")
            room.remove_later(room.build(spec))
            variants: dict[str, Callable[[], float]] = {
                LOCAL: lambda: timed(lambda: room.submit_ok(spec)),
                SLURM: lambda: timed(lambda: room.submit_ok(spec, "--on", "slurm")),
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
