"""Claims per second on Postgres: workers in processes of their own that look for work at once.

    python benchmarks/claims.py [--workers 16] [--runs 2000]

Each worker takes runs as `reprise worker start` does, and does nothing with them. Beside it: what an idle
worker's look for work and its heartbeat cost, which is what bounds the number of boxes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import secrets
import statistics
import tempfile
import time
from typing import Any

from rounds import RESULTS, timed
from support.records import new_run
from support.services import postgres_server

from orchestrator.record.record import open_record
from orchestrator.record.run_record import Queued, Wanted
from orchestrator.settings import load

fork = multiprocessing.get_context("fork")


def anything(run: Queued) -> bool:
    return not run.cancel_requested


def work(environ: dict[str, str], barrier: Any, found: Any, number: int) -> None:
    taken, waits = [], []
    with open_record(load(environ)) as record:
        record.first_waiting("worker", anything)
        barrier.wait()
        began = time.monotonic()
        while True:
            start = time.perf_counter()
            if record.first_waiting("worker", anything) is None:
                break
            token = f"worker {secrets.token_hex(6)}"
            one = record.take("worker", anything, f"box{number}", "boot", token)
            if one is not None:
                taken.append(one[0].id)
                waits.append(time.perf_counter() - start)
        found.put((taken, waits, began, time.monotonic()))


def median_ms(action: Any) -> float:
    return 1000 * statistics.median(timed(action) for _ in range(200))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--runs", type=int, default=2000)
    asked = parser.parse_args()
    with postgres_server() as server, tempfile.TemporaryDirectory() as home:
        environ = {"REPRISE_HOME": home, "REPRISE_DATABASE_URL": server.url()}
        with open_record(load(environ)) as record:
            start = time.perf_counter()
            for number in range(asked.runs):
                record.submit(new_run(params={"n": number}, wanted=Wanted(executor="worker")))
            submitted = asked.runs / (time.perf_counter() - start)
        queue, barrier = fork.Queue(), fork.Barrier(asked.workers)
        workers = [
            fork.Process(target=work, args=(environ, barrier, queue, number))
            for number in range(asked.workers)
        ]
        for worker in workers:
            worker.start()
        found = [queue.get(timeout=600) for _ in workers]
        for worker in workers:
            worker.join()
        taken = [run for runs, _, _, _ in found for run in runs]
        assert len(taken) == len(set(taken)) == asked.runs, "a run was lost, or taken twice"
        seconds = max(end for *_, end in found) - min(began for *_, began, _ in found)
        waits = sorted(wait for _, waits, _, _ in found for wait in waits)
        with open_record(load(environ)) as record:
            look = median_ms(lambda: record.first_waiting("worker", anything))
            beat = median_ms(lambda: record.boxes.see("box0", "up"))
    result = {
        "workers": asked.workers,
        "runs": asked.runs,
        "claims_per_second": round(asked.runs / seconds, 1),
        "claim_ms_median": round(1000 * statistics.median(waits), 2),
        "claim_ms_99": round(1000 * waits[int(len(waits) * 0.99)], 2),
        "doubled_or_lost": 0,
        "submissions_per_second": round(submitted, 1),
        "idle_look_ms": round(look, 3),
        "heartbeat_ms": round(beat, 3),
    }
    text = json.dumps(result, indent=1)
    print(text)
    (RESULTS / "claims.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
