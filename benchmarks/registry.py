"""A changed line through a registry: how long until it runs on a box that has the version before; what moves.

Two homes and one engine: the image is built and pushed from the first home, and the engine gets it by digest.
`docker pull` and we fetch from the same registry, a docker-registry of this benchmark's own on this machine:
the network costs nothing. Both know the base from the round that is thrown away.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rounds import measure, report, run, timed
from scratch import Scratch, edit, scratch, source

from orchestrator.digest import Digest
from orchestrator.launch.move_images import ensure_here, push_image
from orchestrator.launch.session import Session
from orchestrator.launch.submit.build_image import BuildRequest, build
from orchestrator.launch.watch import Silent
from orchestrator.settings import Settings

FILES, ROUNDS = 60, 11
PROGRAM = (
    "import sys\n"
    "from orchestrator.digest import Digest\n"
    "from orchestrator.launch.move_images import ensure_here\n"
    "from orchestrator.launch.session import Session\n"
    "from orchestrator.launch.watch import Silent\n"
    "with Session.open() as session: ensure_here(session, Digest(sys.argv[1]), Silent())\n"
)


@dataclass(frozen=True)
class Server:
    host: str
    log: Path

    def sent(self) -> int:
        """Bytes of all answers' bodies so far, from the access log."""
        text = self.log.read_text(errors="replace")
        return sum(int(size) for size in re.findall(r'"GET \S+ HTTP/1\.1" 200 (\d+) ', text))


@contextmanager
def registry(folder: Path) -> Iterator[Server]:
    program = shutil.which("docker-registry")
    if program is None:
        sys.exit("docker-registry is not installed (Debian's package of that name has it)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    storage = {"filesystem": {"rootdirectory": str(folder / "registry")}}
    config, log = folder / "registry.json", folder / "registry.log"
    config.write_text(json.dumps({"version": 0.1, "storage": storage, "http": {"addr": host}}))
    with log.open("wb") as out:
        process = subprocess.Popen([program, "serve", str(config)], stdout=out, stderr=out)
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(host.split(":"), 1):
                break
            time.sleep(0.05)
        yield Server(host, log)
    finally:
        process.kill()
        process.wait()


@dataclass
class Bench:
    room: Scratch
    server: Server
    near: Session  # builds and pushes
    far: Session  # has what it pulled before, and the engine
    spec: Path
    sent: list[int]  # bytes of each push
    pushes: list[float]
    moved: dict[str, list[int]]

    def publish(self) -> tuple[Digest, int]:
        """A changed line, pushed; its digest, and the number that it prints."""
        number = edit(self.spec.parent)
        image = build(self.near, BuildRequest(spec_path=self.spec), Silent()).image
        sizes: list[int] = []
        self.pushes.append(timed(lambda: sizes.append(push_image(self.near, image, Silent()).sent)))
        self.sent.append(sizes[0])
        return image.digest, number

    def variant(self, name: str, fetch: Callable[[Digest], str]) -> Callable[[], float]:
        """`fetch` brings the image into the engine and says its name there; starting it is timed, too."""

        def once() -> float:
            digest, number = self.publish()
            before, out = self.server.sent(), []

            def all_of_it() -> None:
                image = fetch(digest)
                self.room.images.add(image)
                out.append(run(["docker", "run", "--rm", image]))

            took = timed(all_of_it)
            if f"v {number}" not in out[0].split("\n"):
                raise RuntimeError(f"{digest} does not run the changed line: {out[0]!r}")
            self.moved.setdefault(name, []).append(self.server.sent() - before)
            return took

        return once


def variants(bench: Bench, place: str) -> dict[str, Callable[[], float]]:
    environ = bench.room.env | {"REPRISE_HOME": str(bench.far.settings.home), "REPRISE_REGISTRY": place}

    def docker(digest: Digest) -> str:
        run(["docker", "pull", "--quiet", f"{place}@{digest}"])
        return f"{place}@{digest}"

    def process(digest: Digest) -> str:
        run([sys.executable, "-c", PROGRAM, digest], environ)
        return f"reprise:{digest.hex}"

    def library(digest: Digest) -> str:
        return ensure_here(bench.far, digest, Silent()).tag

    fetches = {
        "docker pull, docker run": docker,
        "pulled by us, docker run": process,
        "pulled by us in process, docker run": library,
    }
    return {name: bench.variant(name, fetch) for name, fetch in fetches.items()}


def home(settings: Settings, folder: Path, place: str) -> Settings:
    return replace(settings, home=folder, store=folder / "store", registry=place)


def main() -> None:
    with scratch() as room, registry(room.folder) as server:
        place = f"{server.host}/team/reprise"
        near, far = replace(room.settings, registry=place), home(room.settings, room.folder / "far", place)
        spec = source(room.folder / "job", FILES) / "job.yaml"
        with Session(near) as first, Session(far) as second:
            bench = Bench(room, server, first, second, spec, [], [], {})
            seconds = measure(variants(bench, place), ROUNDS)
            pushes = bench.pushes[len(seconds) :]  # the first round's pushed the base
        base = sum(bench.sent[: len(seconds)])
    later = {name: statistics.median(sizes[1:]) for name, sizes in bench.moved.items()}
    report(
        "registry",
        {
            f"Changed line of {FILES} files, pushed already, until the container has run": seconds,
            "The push": {"push_image, in process": pushes},
        },
        bytes_pushed_the_first_time=base,
        bytes_pushed_for_the_change=statistics.median(bench.sent[len(seconds) :]),
        bytes_pulled_for_the_change=later,
    )


if __name__ == "__main__":
    main()
