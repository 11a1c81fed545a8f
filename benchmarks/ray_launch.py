"""What a launch by Ray costs: the whole `reprise submit --on ray` of print('ok') beside the local one.

A real head and two nodes on this machine, with one home and one engine, so that the difference is Ray and our
waiting for it: the network costs nothing. The bare job is one of Ray's own that does nothing, without us.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable

from rounds import measure, report, timed
from scratch import scratch
from support.ray_cluster import Cluster, ray_cluster

ROUNDS = 9


def bare_job(cluster: Cluster) -> None:
    """`true`, by the same interface, looked at as often as we look."""
    name = f"bare-{secrets.token_hex(8)}"
    body = {"entrypoint": "true", "submission_id": name, "entrypoint_num_cpus": 0.1}
    if cluster.ask("POST", "/api/jobs/", body).status_code != 200:
        raise RuntimeError("Ray refuses the bare job")
    while (state := cluster.ask("GET", f"/api/jobs/{name}").json()["status"]) != "SUCCEEDED":
        if state in ("FAILED", "STOPPED"):
            raise RuntimeError(f"the bare job: {state}")
        time.sleep(0.05)


def main() -> None:
    with scratch() as room:
        spec = room.ok_job("job")
        own = {"REPRISE_HOME": str(room.settings.home)}
        with ray_cluster(own, own) as cluster:
            room.remove_later(room.build(spec))

            def submit(*words: str) -> float:
                return timed(lambda: room.submit_ok(spec, *words, **cluster.environ))

            variants: dict[str, Callable[[], float]] = {
                "reprise submit": submit,
                "reprise submit --on ray": lambda: submit("--on", "ray"),
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
