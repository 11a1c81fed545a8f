"""What recording and isolation cost: `reprise submit` of print('ok') beside plain `docker run`."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable

from rounds import command, measure, report, run, timed
from scratch import scratch


def main() -> None:
    with scratch() as room:
        same, changing = room.ok_job("same"), room.ok_job("changed")
        image = room.remove_later(room.build(same))
        room.submit_ok(same)
        numbers = itertools.count()

        def changed() -> float:
            changing.with_name("ok.py").write_text(f"print('ok')  # {next(numbers)}\n")
            took = timed(lambda: room.submit_ok(changing))
            room.remove_later(room.build(changing))
            return took

        python = room.base.python.executable
        plain = ["docker", "run", "--rm", room.base.reference, python, "-c", "print('ok')"]
        if "ok" not in run(plain) or "ok" not in run(["docker", "run", "--rm", image]):
            raise RuntimeError("docker run does not run the job")
        variants: dict[str, Callable[[], float]] = {
            "docker run, same image and command": command(["docker", "run", "--rm", image]),
            "docker run of the base, python -c": command(plain),
            "reprise submit": lambda: timed(lambda: room.submit_ok(same)),
            "reprise submit, a line changed": changed,
        }
        seconds = measure(variants, rounds=9)
    medians = {name: statistics.median(took) for name, took in seconds.items()}
    (of_image, of_base, ours, _) = medians.values()
    report(
        "submit_overhead",
        {"Whole command, print('ok')": seconds},
        seconds_over_same_image=round(ours - of_image, 3),
        seconds_over_base=round(ours - of_base, 3),
    )


if __name__ == "__main__":
    main()
