"""A changed line through a registry: how long until it runs on a box that has the version before; what moves.

Two homes and one engine: the image is built and pushed from the first home, and the engine gets it by digest.
`docker pull` and we fetch from the same registry, a docker-registry of this benchmark's own on this machine:
the network costs nothing. Both know the base from the round that is thrown away.
"""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from rounds import measure, report, run, timed
from scratch import Scratch, edit, scratch, source
from support.services import RegistryServer, registry_server

from orchestrator.digest import Digest
from orchestrator.launch.move_images import ensure_here, push_image
from orchestrator.launch.session import Session
from orchestrator.launch.submit.build_image import BuildRequest, build
from orchestrator.launch.watch import Silent

FILES, ROUNDS = 60, 11
PROGRAM = (
    "import sys\n"
    "from orchestrator.digest import Digest\n"
    "from orchestrator.launch.move_images import ensure_here\n"
    "from orchestrator.launch.session import Session\n"
    "from orchestrator.launch.watch import Silent\n"
    "with Session.open() as session: ensure_here(session, Digest(sys.argv[1]), Silent())\n"
)


def bytes_sent(server: RegistryServer) -> int:
    """Bytes of all answers' bodies so far, from the access log."""
    return sum(int(size) for size in re.findall(r'"GET \S+ HTTP/1\.1" 200 (\d+) ', server.log))


@dataclass
class Bench:
    room: Scratch
    server: RegistryServer
    near: Session  # builds and pushes
    far: Session  # has what it pulled before, and the engine
    spec: Path
    pushed: list[int] = field(default_factory=list)  # bytes of each push
    pushes: list[float] = field(default_factory=list)  # seconds of each push
    pulled: dict[str, list[int]] = field(default_factory=dict)  # bytes of each pull, by variant

    def publish(self) -> tuple[Digest, int]:
        """A changed line, pushed; its digest, and the number that it prints."""
        number = edit(self.spec.parent)
        image = build(self.near, BuildRequest(spec_path=self.spec), Silent()).image
        sizes: list[int] = []
        self.pushes.append(timed(lambda: sizes.append(push_image(self.near, image, Silent()).sent)))
        self.pushed.append(sizes[0])
        return image.digest, number

    def variant(self, name: str, fetch: Callable[[Digest], str]) -> Callable[[], float]:
        """`fetch` brings the image into the engine and says its name there; starting it is timed, too."""

        def once() -> float:
            digest, number = self.publish()
            before, out = bytes_sent(self.server), []

            def all_of_it() -> None:
                image = fetch(digest)
                self.room.images.add(image)
                out.append(run(["docker", "run", "--rm", image]))

            took = timed(all_of_it)
            if f"v {number}" not in out[0].split("\n"):
                raise RuntimeError(f"{digest} does not run the changed line: {out[0]!r}")
            self.pulled.setdefault(name, []).append(bytes_sent(self.server) - before)
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


def main() -> None:
    with scratch() as room, registry_server() as server:
        place = f"{server.host}/team/reprise"
        near, home = replace(room.settings, registry=place), room.folder / "far"
        far = replace(near, home=home, store=home / "store")
        spec = source(room.folder / "job", FILES) / "job.yaml"
        with Session(near) as first, Session(far) as second:
            bench = Bench(room, server, first, second, spec)
            seconds = measure(variants(bench, place), ROUNDS)
            pushes = bench.pushes[len(seconds) :]  # the first round's pushed the base
        base = sum(bench.pushed[: len(seconds)])
    later = {name: statistics.median(sizes[1:]) for name, sizes in bench.pulled.items()}
    report(
        "registry",
        {
            f"Changed line of {FILES} files, pushed already, until the container has run": seconds,
            "The push": {"push_image, in process": pushes},
        },
        bytes_pushed_the_first_time=base,
        bytes_pushed_for_the_change=statistics.median(bench.pushed[len(seconds) :]),
        bytes_pulled_for_the_change=later,
    )


if __name__ == "__main__":
    main()
