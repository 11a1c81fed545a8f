"""What recording and isolation cost: `reprise submit` of print('ok') beside plain `docker run`."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from rounds import command, measure, report, run, timed
from scratch import scratch

from orchestrator.digest import Digest

CODE = "print('ok')"
SPEC = "name: ok\nbase: cpu\ncommand: [python3, ok.py]\n"


def main() -> None:
    with scratch() as room:
        jobs = {name: room.folder / name for name in ("same", "changed")}
        for folder in jobs.values():
            folder.mkdir()
            (folder / "ok.py").write_text(CODE + "\n")
            (folder / "job.yaml").write_text(SPEC)

        def submit(name: str) -> str:
            out = room.reprise("submit", str(jobs[name] / "job.yaml"))
            if "ok" not in out.split("\n"):
                raise RuntimeError(f"the job's line is not in the output:\n{out}")
            return out

        digest = Digest(room.reprise("build", "--quiet", str(jobs["same"] / "job.yaml")).split()[-1])
        image = f"reprise:{digest.hex}"
        submit("same")
        room.images.add(image)
        numbers = iter(range(1_000_000))

        def changed() -> float:
            (jobs["changed"] / "ok.py").write_text(f"{CODE}  # {next(numbers)}\n")
            took = timed(lambda: submit("changed"))
            digest = Digest(room.reprise("build", "--quiet", str(jobs["changed"] / "job.yaml")).split()[-1])
            room.images.add(f"reprise:{digest.hex}")
            return took

        plain = ["docker", "run", "--rm", room.base.reference, room.base.python.executable, "-c", CODE]
        if "ok" not in run(plain) or "ok" not in run(["docker", "run", "--rm", image]):
            raise RuntimeError("docker run does not run the job")
        variants: dict[str, Callable[[], float]] = {
            "docker run, same image and command": command(["docker", "run", "--rm", image]),
            "docker run of the base, python -c": command(plain),
            "reprise submit": lambda: timed(lambda: submit("same")),
            "reprise submit, a line changed": changed,
        }
        seconds = measure(variants, rounds=9)
    medians = {name: statistics.median(took) for name, took in seconds.items()}
    (same, base, ours, _) = medians.values()
    report(
        "submit_overhead",
        {"Whole command, print('ok')": seconds},
        seconds_over_same_image=round(ours - same, 3),
        seconds_over_base=round(ours - base, 3),
    )


if __name__ == "__main__":
    main()
