"""A parameter that was never used before: how long until its digest is known and its image is assembled."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from rounds import measure, report, timed
from scratch import Scratch, scratch, source

from orchestrator.launch.session import Session
from orchestrator.launch.submit.build_image import BuildRequest, build
from orchestrator.launch.watch import Silent


def variants(room: Scratch, session: Session, files: int) -> dict[str, Callable[[], float]]:
    spec = source(room.folder / f"job-{files}", files) / "job.yaml"
    values = itertools.count(1)
    digests: set[str] = set()

    def seen(digest: str) -> None:
        if digest in digests:
            raise RuntimeError("a new parameter did not give a new digest")
        digests.add(digest)

    def library() -> float:
        request = BuildRequest(spec_path=spec, params={"x": str(next(values))})
        made: list[str] = []
        took = timed(lambda: made.append(build(session, request, Silent()).image.digest))
        seen(made[0])
        return took

    def verb() -> float:
        made: list[str] = []
        took = timed(lambda: made.append(room.build(spec, "-p", f"x={next(values)}")))
        seen(made[0])
        return took

    return {f"in process, {files} files": library, f"`reprise build -p`, {files} files": verb}


def main() -> None:
    with scratch() as room, Session(room.settings) as session:
        everything = variants(room, session, 60) | variants(room, session, 3000)
        seconds = measure(everything, rounds=11)
    report("parameter_change", {"New parameter to digest": seconds})


if __name__ == "__main__":
    main()
