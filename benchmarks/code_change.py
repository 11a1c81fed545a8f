"""One changed line of a source of 60 or 3,000 files: how long until the engine has an image that runs it.

After each timing the image is run, and must print the changed line. Sources are not git repositories.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rounds import measure, report, timed
from scratch import Scratch, builder, check, edit, find_buildkit, scratch, source

from orchestrator.image.image_model import REPOSITORY
from orchestrator.launch.session import Session
from orchestrator.launch.submit.build_image import BuildRequest, build
from orchestrator.launch.watch import Silent
from orchestrator.run.engine.load_image import ensure_loaded

ROUNDS = {60: 9, 3000: 5}


def variant(room: Scratch, folder: Path, make: Callable[[], str], program: str) -> Callable[[], float]:
    """Edit, time `make` (which gives the image's name), check; `program` is where the source lies in it."""
    python = room.base.python.executable

    def once() -> float:
        number = edit(folder)
        made: list[str] = []
        took = timed(lambda: made.append(make()))
        room.images.add(made[0])
        check(made[0], python, program, number)
        return took

    return once


def ours(room: Scratch, session: Session, files: int) -> dict[str, Callable[[], float]]:
    program = "/opt/reprise/source/main.py"

    def folder(name: str) -> Path:
        return source(room.folder / f"{name}-{files}", files)

    def library(spec: Path) -> str:
        image = build(session, BuildRequest(spec_path=spec), Silent()).image
        ensure_loaded(session.engine, session.settings, image)
        return image.tag

    def process(spec: Path) -> str:
        digest = room.reprise("build", "--load", "--quiet", str(spec)).strip()
        return f"{REPOSITORY}:{digest.removeprefix('sha256:')}"

    inside, outside, verb = folder("inside"), folder("outside"), folder("verb")

    def only_build() -> float:
        edit(verb)
        return timed(lambda: room.reprise("build", "--quiet", str(verb / "job.yaml")))

    return {
        "Reprise, in process": variant(room, inside, lambda: library(inside / "job.yaml"), program),
        "`reprise build --load`": variant(room, outside, lambda: process(outside / "job.yaml"), program),
        "`reprise build`, not loaded": only_build,
    }


def docker(room: Scratch, files: int, buildkit: str | None) -> dict[str, Callable[[], float]]:
    kinds = {"docker build (BuildKit)": buildkit, "docker build (classic)": "docker"}
    made = {}
    for number, (name, cli) in enumerate(kinds.items()):
        if cli is not None:
            folder = source(room.folder / f"docker{number}-{files}", files)
            build_it = builder(cli, name.endswith("(BuildKit)"), room, folder)
            made[name] = variant(room, folder, build_it, "/src/main.py")
    return made


def main() -> None:
    with scratch() as room, Session(room.settings) as session:
        found = find_buildkit(room.folder)
        tables = {}
        for files, rounds in ROUNDS.items():
            variants = docker(room, files, found[0] if found else None) | ours(room, session, files)
            tables[f"Changed line to image in the engine, {files} files"] = measure(variants, rounds)
    client = f"docker CLI {found[1]}" if found else "not available: no docker CLI here can build by it"
    report("code_change", tables, buildkit=client)


if __name__ == "__main__":
    main()
