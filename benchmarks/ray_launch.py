"""What a launch by Ray costs: the whole `reprise submit --on ray` of print('ok') beside the local one.

A real head and two nodes on this machine, with one home and one engine, so that the difference is Ray and our
waiting for it: the network costs nothing. The bare job is one of Ray's own that does nothing, without us.
"""

from __future__ import annotations

import itertools
import secrets
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rounds import measure, report, run, timed
from scratch import scratch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.ray_cluster import Cluster, ray_cluster

CODE = "print('ok')"
SPEC = "name: ok\nbase: cpu\ncommand: [python3, ok.py]\n"
ROUNDS = 9
_numbers = itertools.count(1)


def bare_job(cluster: Cluster) -> None:
    """`true`, by the same interface, looked at as often as we look."""
    name = f"bare-{secrets.token_hex(4)}-{next(_numbers)}"
    body = {"entrypoint": "true", "submission_id": name, "entrypoint_num_cpus": 0.1}
    if cluster.ask("POST", "/api/jobs/", body).status_code != 200:
        raise RuntimeError("Ray refuses the bare job")
    while (state := cluster.ask("GET", f"/api/jobs/{name}").json()["status"]) != "SUCCEEDED":
        if state in ("FAILED", "STOPPED"):
            raise RuntimeError(f"the bare job: {state}")
        time.sleep(0.05)


def main() -> None:
    with scratch() as room:
        folder = room.folder / "job"
        folder.mkdir()
        (folder / "ok.py").write_text(CODE + "\n")
        (folder / "job.yaml").write_text(SPEC)
        own = {"REPRISE_HOME": str(room.settings.home)}
        with ray_cluster(own, own) as cluster:
            environ = {**room.env, **cluster.environ}

            def submit(*words: str) -> None:
                out = run(
                    [str(Path(sys.executable).with_name("reprise")), "submit", str(spec), *words], environ
                )
                if "ok" not in out.split("\n"):
                    raise RuntimeError(f"the job's line is not in the output:\n{out}")

            spec = folder / "job.yaml"
            room.images.add(
                f"reprise:{room.reprise('build', '--quiet', str(spec)).split()[-1].partition(':')[2]}"
            )
            variants: dict[str, Callable[[], float]] = {
                "reprise submit": lambda: timed(submit),
                "reprise submit --on ray": lambda: timed(lambda: submit("--on", "ray")),
                "the bare job, `true`": lambda: timed(lambda: bare_job(cluster)),
            }
            seconds = measure(variants, rounds=ROUNDS)
            version = cluster.ask("GET", "/api/version").json()["ray_version"]
    local, ray, bare = (statistics.median(took) for took in seconds.values())
    report(
        "ray_launch",
        {"Whole command, print('ok')": seconds},
        ray=version,
        seconds_over_local=round(ray - local, 3),
        seconds_over_local_and_the_bare_job=round(ray - local - bare, 3),
    )


if __name__ == "__main__":
    main()
