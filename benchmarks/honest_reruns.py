"""How often an honest rerun is called anything but identical: the scripts of jobs/zoo, run again and again.

Not one of the timed benchmarks: it takes ten minutes for its hundred reruns, so `make bench` leaves it out.
Usage: honest_reruns.py [COUNT]
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from rounds import machine
from scratch import REPRISE, Scratch, scratch

from orchestrator.digest import Digest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ("cnn", "transformer", "vae", "lstm", "gan", "rl")


def document(room: Scratch, *words: str) -> Any:
    """What the command prints; a verdict other than `identical` has an exit code of its own."""
    done = subprocess.run([REPRISE, *words, "--json"], env=room.env, stdout=subprocess.PIPE, check=False)
    return json.loads(done.stdout)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 102
    outcomes: Counter[str] = Counter()
    steps = digests = 0
    with scratch() as room:
        digest: dict[str, str] = {}
        for script in SCRIPTS:
            run = document(room, "submit", str(ROOT / "jobs/zoo/job.yaml"), "-p", f"script={script}")
            digest[script] = run["image"]
            room.remove_later(Digest(run["image"]))
        for number, script in enumerate(islice(cycle(SCRIPTS), count), 1):
            verdict = document(room, "rerun", digest[script])["verdict"]
            outcomes[verdict["outcome"]] += 1
            steps += verdict["traced"]["steps"]
            digests += verdict["traced"]["tensors"]
            if verdict["outcome"] != "identical":
                print(f"{script}: {verdict['summary']}")
            print(f"\r{number}/{count} {dict(outcomes)}", end="", file=sys.stderr, flush=True)
    found = {"reruns": count, "outcomes": dict(outcomes), "steps": steps, "digests": digests}
    found["machine"] = machine()
    (ROOT / "benchmarks/results/honest_reruns.json").write_text(json.dumps(found, indent=1) + "\n")
    print(f"\n{count} reruns, {steps:,} steps, {digests:,} digests: {dict(outcomes)}")


if __name__ == "__main__":
    main()
