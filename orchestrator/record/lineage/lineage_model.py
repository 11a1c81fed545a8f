"""Where files came from, and what was made of them: the answers of file_origin.py and run_lineage.py."""

from __future__ import annotations

from orchestrator.digest import Digest
from orchestrator.run.attempt_model import State
from orchestrator.spec.jobfile.job_spec import Scalar
from orchestrator.value import Instant, RunId, Value


class Made(Value):
    """A file that a run left: where it lay there, and what is known of the run."""

    run: str
    job: str
    path: str
    digest: Digest
    state: State
    submitted_by: str
    created_at: Instant
    image: Digest
    commit: str | None
    dirty: bool  # the source differed from that commit; the patch is kept
    params: dict[str, Scalar]
    rerun_of: RunId | None
    verdicts: tuple[str, ...]  # outcomes that name the run, oldest first
    names: tuple[str, ...] = ()  # that people gave to the run
    archived: bool = False
    imported: Digest | None = None  # of the bundle that it came in; None: recorded here


class Mention(Value):
    """A file that a run knows otherwise than as an output."""

    run: str
    job: str
    role: str  # input; input file, of a folder; log, trace, patch
    what: str  # the input's name; `NAME/PATH` of a file in its folder; else empty
    digest: Digest
    submitted_by: str
    created_at: Instant


class Kin(Value):
    """A run in a lineage."""

    id: str
    job: str
    state: State
    submitted_by: str
    created_at: Instant
    rerun_of: RunId | None
    archived: bool
    imported: Digest | None = None  # of the bundle that it came in; None: recorded here


class Match(Value):
    """One output that is an input, or a file of one."""

    output: str  # path, as the run that made it called it
    file: str | None  # path in the input's folder; None: the input is this file
    digest: Digest


class Link(Value):
    """Outputs of one run that another took as an input: the same bytes, made before they were used.

    Where the record says which run the input came from, `asked` is how it was asked for. Then there may be no
    matches: the files of a very large folder are not recorded.
    """

    maker: str
    user: str
    input: str  # its name
    matches: tuple[Match, ...]  # some, sorted
    count: int  # of all
    also: tuple[str, ...]  # some other runs that had left the same bytes by then, reruns mostly
    asked: str | None = None  # `run:digits@latest/model.pt`; None: found by its bytes alone


class Unmade(Value):
    """An input of which no file is known to be a run's output."""

    run: str
    input: str
    digest: Digest
    folder: bool | None  # None: not recorded, as of runs of older versions
    files: int | None
    data: str | None = None  # `mnist@3`, where it was asked for so
    looked_at: bool  # False: its files are not recorded, so one of them may be an output all the same


class Lineage(Value):
    run: str
    runs: dict[str, Kin]
    above: tuple[Link, ...]  # towards where the inputs came from
    below: tuple[Link, ...]  # towards what was made of the outputs
    unmade: tuple[Unmade, ...]  # inputs of this run and of those above it
    cut: bool  # there is more than is listed
