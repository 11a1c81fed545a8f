"""Files of tensors that differ are compared inside a container, because unpickling runs their code.

One throw-away container of the run's own image compares all of them: without network, with a job's limits,
and only its report can be written. Its script comes from this package, so that images of older releases are
read by the same rules. What goes wrong is part of the findings; the verdict is given all the same.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

import orchestrator.payload
from orchestrator.digest import Digest
from orchestrator.errors import EngineError, RepriseError, StoreError
from orchestrator.image.image_model import INPUTS, JOB_USER, REPORT
from orchestrator.launch.execute.attempt_plan import ImageHere, image_here
from orchestrator.launch.execute.cleanup import remove_files
from orchestrator.launch.execute.run_lock import run_lock
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent, Watch
from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Failure, Mount, Output, OutputStatus, Plan
from orchestrator.run.collect.walk_tree import read_small, shown_name
from orchestrator.run.engine.check_container import check_created
from orchestrator.run.engine.container_config import CACHES
from orchestrator.run.engine.engine import LABEL_ATTEMPT, LABEL_HOME, LABEL_RUN
from orchestrator.run.follow import Ended, follow
from orchestrator.run.hardware import home_id
from orchestrator.run.plan import MEMORY_SHARE, container_name
from orchestrator.run.workspace import prepare
from orchestrator.spec.globs import matcher
from orchestrator.spec.jobfile.job_spec import Tolerance
from orchestrator.verdict.comparability import failure_of, not_the_same_program
from orchestrator.verdict.outputs.compare_files import same_output, tolerance_glob
from orchestrator.verdict.outputs.pairing import pair_runs
from orchestrator.verdict.outputs.torch_contents import SUFFIXES
from orchestrator.verdict.verdict_model import TensorFinding

MAX_PAIRS = 64  # files that are opened; a job can leave 100,000
MAX_REPORT = 1 << 20  # bytes of what is said of one pair; twenty leaves make 10 kB
MAX_FOLDER = 64 << 20  # bytes that the container may write
SECONDS = 300  # for one pair: 1 GB of differing float32 takes 13 s on one core
TOTAL = 1800.0  # seconds for all of them
MEMORY = 1 << 30  # bytes, plus three times the largest file: old formats are read completely, two at once
PROCESSES = 128
MAX_TEXT = 400  # characters
MAX_LEAVES = 20

_MAGIC = (b"PK\x03\x04", b"\x80\x02\x8a\x0a")  # of torch.save: a zip since 1.6, a pickled number before
_SCRIPT = Path(orchestrator.payload.__path__[0]) / "compare_torch_files.py"
_IN_IMAGE = f"{INPUTS}/compare_torch_files.py"

Pair = tuple[Output, Output]


def find_contents(
    session: Session, original: RunRecord, rerun: RunRecord, watch: Watch
) -> dict[str, TensorFinding]:
    """What the tensors in differing .pt, .pth, .ckpt and .bin files say, by path; nothing is raised.

    Empty where there are no such files, or where the two runs are not compared at all.
    """
    if failure_of(original) or failure_of(rerun) or not_the_same_program(original, rerun):
        return {}
    pairs = _differing(session, original, rerun)
    if not pairs:
        return {}
    tolerances = [_tolerance(a.path, original) for a, _ in pairs]
    watch.phase("contents", f"{len(pairs)} files of tensors")
    try:
        found = _compare(session, original, rerun, pairs[:MAX_PAIRS], tolerances)
    except (RepriseError, OSError) as error:
        found = [{"error": str(error)} for _ in pairs[:MAX_PAIRS]]
    found += [{"error": f"more than {MAX_PAIRS} such files"} for _ in pairs[MAX_PAIRS:]]
    return {
        pair[0].path: finding_of(pair[0].path, tolerance, report)
        for pair, tolerance, report in zip(pairs, tolerances, found, strict=True)
    }


def _differing(session: Session, original: RunRecord, rerun: RunRecord) -> list[Pair]:
    """Files of torch's names and beginnings that both runs kept with different bytes; none is volatile."""
    volatile = matcher(original.tolerance.volatile)
    found = []
    for path, a, b in pair_runs(original, rerun).pairs:
        if a is None or b is None or same_output(a, b) or not path.endswith(SUFFIXES) or volatile(path):
            continue
        if a.status is b.status is OutputStatus.KEPT and all(
            item.digest is not None and _by_torch(session.store.open, item.digest) for item in (a, b)
        ):
            found.append((a, b))
    return found


def _by_torch(open_blob: Callable[[Digest], BinaryIO], digest: Digest) -> bool:
    try:
        with open_blob(digest) as stream:
            return stream.read(4) in _MAGIC
    except (RepriseError, OSError):
        return False  # the comparison byte for byte says so


def _tolerance(path: str, original: RunRecord) -> Tolerance:
    glob = tolerance_glob(path, original.tolerance.outputs)
    return Tolerance() if glob is None else original.tolerance.outputs[glob]


def _compare(
    session: Session, original: RunRecord, rerun: RunRecord, pairs: list[Pair], tolerances: list[Tolerance]
) -> list[dict[str, Any]]:
    """The container's life. Its name is new each time, and locked, so that it is not taken for a leftover."""
    for pair in pairs:
        for output in pair:
            assert output.digest is not None  # noqa: S101  (_differing saw to it)
            session.store.verify(output.digest, output.size)
    settings, number = session.settings, secrets.randbelow(10**9) + 10**9
    with run_lock(settings, f"{rerun.id}-{number}"), ExitStack() as files:
        blobs = [
            Mount(
                source=files.enter_context(session.store.file(output.digest)),
                target=f"{INPUTS}/pairs/{index}/{name}",
                read_only=True,
            )
            for index, pair in enumerate(pairs)
            for name, output in zip(("original", "rerun"), pair, strict=True)
            if output.digest is not None
        ]
        try:
            image = image_here(session, original, Silent())
            report = prepare(settings, rerun.id, number).report
            script = report.parent / _SCRIPT.name  # an engine may see this box's home and not its packages
            script.write_bytes(_SCRIPT.read_bytes())
            script.chmod(0o644)
            plan = _plan(session, image, rerun, number, report, pairs, tolerances, blobs)
            session.engine.create(plan)
            check_created(session.engine, plan, image.ids)
            ended = follow(session.engine, plan, Silent(), should_cancel=lambda: False)
            return [_read(report, index, ended, plan) for index in range(len(pairs))]
        finally:
            with suppress(EngineError, StoreError):  # what stays, `reprise worker recover` removes
                session.engine.remove(container_name(rerun.id, number))
                remove_files(session, rerun.id, number)


def _plan(
    session: Session,
    image: ImageHere,
    rerun: RunRecord,
    number: int,
    report: Path,
    pairs: list[Pair],
    tolerances: list[Tolerance],
    blobs: list[Mount],
) -> Plan:
    """A job's plan with another program. Under an empty level the payload sets and traces nothing."""
    largest = max(output.size for pair in pairs for output in pair)
    info = session.engine.info()
    bounds = [f"{tolerance.abs!r}:{tolerance.rel!r}" for tolerance in tolerances]
    return Plan(
        run=rerun.id,
        attempt=number,
        container=container_name(rerun.id, number),
        image=image.reference,
        entrypoint=(image.interpreter, "-I", _IN_IMAGE),
        command=(REPORT, str(SECONDS), *bounds[: len(pairs)]),
        environment=CACHES | {"NVIDIA_VISIBLE_DEVICES": "void", "REPRISE_LEVEL": ""},
        mounts=(
            Mount(source=report, target=REPORT, read_only=False),
            Mount(source=report.parent / _SCRIPT.name, target=_IN_IMAGE, read_only=True),
            *blobs,
        ),
        user=f"{JOB_USER}:{JOB_USER}",
        network="none",
        cpus=1,
        memory=min(MEMORY + 3 * largest, int(info.memory * MEMORY_SHARE)),
        shm=1 << 20,
        processes=PROCESSES,
        file_size=MAX_FOLDER,
        timeout=TOTAL,
        system_calls=info.seccomp,
        log_driver=info.log_driver,
        labels={LABEL_RUN: rerun.id, LABEL_ATTEMPT: str(number), LABEL_HOME: home_id(session.settings)},
    )


def _read(folder: Path, index: int, ended: Ended, plan: Plan) -> dict[str, Any]:
    """What was reported of one pair, or why nothing was."""
    try:
        data = read_small(folder, f"contents-{index}.json", MAX_REPORT)
        value = json.loads(data) if data is not None else None
    except (ValueError, RecursionError) as error:
        return {"error": f"the container's report cannot be read: {error}"}
    if isinstance(value, dict):
        return value
    container = ended.container
    if ended.cause is not None:
        late = ended.cause is Failure.TIMEOUT
        return {"error": f"the container took more than {TOTAL:g} s" if late else ended.message}
    if container is None:
        return {"error": "the container is gone"}
    if container.oom_killed:
        return {"error": f"the container needed more than {plan.memory >> 20} MiB of memory"}
    return {"error": f"the container ended with exit code {container.exit_code} and said nothing"}


def finding_of(path: str, tolerance: Tolerance, report: Mapping[str, Any]) -> TensorFinding:
    """A report from inside the container, which a hostile file may have written: checked and cleaned."""
    if "error" in report:
        return TensorFinding(path=path, tolerance=tolerance, error=_text(report["error"]) or "without a word")
    try:
        leaves = _list(report["leaves"])
        tensors, differing = _natural(report["tensors"]), _natural(report["differing"])
        problem, first = _text(report["problem"]), report["first"]
        return TensorFinding(
            path=path,
            tolerance=tolerance,
            equal_tensors=not problem and tensors > 0 and differing == 0,
            tensors=tensors,
            differing=differing,
            first=None if first is None else _text(first),
            max_abs=_number(report["max_abs"]),
            max_rel=_number(report["max_rel"]),
            outside=_natural(report["outside"]),
            problem=problem,
            leaves=tuple(_text(leaf) for leaf in leaves),
            leaf_count=max(_natural(report["leaf_count"]), len(leaves)),
        )
    except (KeyError, ValueError, RecursionError) as error:
        return TensorFinding(
            path=path,
            tolerance=tolerance,
            error=f"the container's report makes no sense: {_text(str(error))}",
        )


def _text(value: object) -> str:
    return shown_name(str(value).encode("utf-8", "backslashreplace").decode())[:MAX_TEXT]


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("a list is missing")  # noqa: TRY004 - of content, not of a caller
    return value[:MAX_LEAVES]


def _natural(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise ValueError("a number is missing")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= math.inf:
        raise ValueError("a distance is missing")
    return float(value) if value < 1e300 else math.inf
