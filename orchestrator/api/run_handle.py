"""One run of the record as an object. Facts are read when they are first asked for; nothing here writes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import BinaryIO, NamedTuple, cast

from orchestrator.api.notebook import fields_html
from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.launch.dispatch.find_log import log_chunks
from orchestrator.launch.session import Session
from orchestrator.message_wording import did_you_mean
from orchestrator.record.run_record import RunLine, RunRecord, VerdictLine
from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.settings import Settings
from orchestrator.spec.jobfile.job_spec import Scalar
from orchestrator.view.forms.clean_text import Cleaner
from orchestrator.view.forms.page import Fields
from orchestrator.view.runs.run_view import run_page

IN_MEMORY = 64 << 20  # bytes of an output that are held in memory; a larger one lies in a temporary file


class Curve(NamedTuple):
    """The points of one metric, in the order in which the job wrote them."""

    steps: list[int | None]  # None: the point came without a step
    values: list[float]


class Run:
    """A run. `record` has everything; the other attributes are what is used most.

    A run of `api.runs` is as it was when it was asked for; `api.run(run.id)` asks again.
    """

    def __init__(self, settings: Settings, known: RunLine | RunRecord) -> None:
        self._settings, self._known = settings, known

    @cached_property
    def record(self) -> RunRecord:
        """All that the record holds of it, as one frozen value: `record.program`, `record.fingerprint` …

        With every point of every metric: for a run of a million points it takes seconds.
        """
        with self._session() as session:
            return session.record.with_points(self._facts)

    @cached_property
    def _facts(self) -> RunRecord:
        """As `record`, without points."""
        if isinstance(self._known, RunRecord):
            return self._known
        with self._session() as session:
            return session.record.run(self.id)

    @property
    def id(self) -> str:
        return self._known.id

    @property
    def job(self) -> str:
        return self._known.job

    @property
    def image(self) -> Digest:
        """The digest that `rerun` takes."""
        return self._known.image

    @property
    def state(self) -> str:
        """`queued` … `lost`, as `history` shows it."""
        return self._known.state.value

    @property
    def failure(self) -> str | None:
        """Whose fault a failure is: `job`, `memory`, `timeout`, `policy`, `infrastructure`."""
        return self._known.failure.value if self._known.failure else None

    @property
    def message(self) -> str:
        """Why it did not succeed; empty where it did, or is not over."""
        return self._known.message

    @property
    def last_line(self) -> str | None:
        """The last line of its log, where it did not succeed."""
        return self._known.last_line

    @property
    def rerun_of(self) -> str | None:
        return self._known.rerun_of

    @property
    def submitted_by(self) -> str:
        return self._known.submitted_by

    @property
    def created_at(self) -> datetime:
        """When it was submitted; UTC."""
        return self._known.created_at

    @property
    def seconds(self) -> float | None:
        """How long the container ran."""
        return self._known.seconds

    @property
    def params(self) -> dict[str, Scalar]:
        known = self._known
        return dict(known.params if isinstance(known, RunLine) else known.program.params)

    @property
    def logged(self) -> dict[str, Scalar]:
        """Parameters that the script logged for its tracker; `record.logged` says in which file."""
        known = self._known
        if isinstance(known, RunLine):
            return dict(known.logged)
        return {name: item.value for name, item in known.logged.items()}

    @property
    def seed(self) -> int:
        return self._known.seed if isinstance(self._known, RunLine) else self._known.program.seed

    @property
    def metrics(self) -> dict[str, float]:
        """Last values."""
        return dict(self._known.metrics)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Everything that it left in its workspace, what was refused, too (`status`, `reason`)."""
        return self._facts.outputs

    @property
    def verdicts(self) -> Sequence[VerdictLine]:
        """Verdicts that name this run, as the rerun or as the original; oldest first."""
        with self._session() as session:
            return session.record.history.verdicts(self.id)

    def series(self, name: str) -> Curve:
        """Every point of a metric, such as `loss`; its last value where it has no series. UsageError for an
        unknown metric.
        """
        facts = self._facts
        with self._session() as session:
            found = session.record.points_named(facts, name)
        return Curve([point.step for point in found], [point.value for point in found])

    def open(self, path: str) -> BinaryIO:
        """An output's bytes as a stream to read, all of them checked against its digest before the first.

        UsageError for a path that is no kept output; StoreError where the bytes are gone or altered.
        """
        output = self._output(path)
        assert output.digest is not None  # noqa: S101  (of a kept one)
        held = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  (the caller closes it)
        try:
            with self._session() as session:
                for piece in session.store.chunks_of(output.digest, output.size):
                    held.write(piece)
        except BaseException:
            held.close()
            raise
        held.seek(0)
        return cast("BinaryIO", held)

    @cached_property
    def _kept(self) -> dict[str, Output]:
        """By path, for who opens many: a run may have 100,000."""
        return {item.path: item for item in self.outputs if item.status is OutputStatus.KEPT}

    def _output(self, path: str) -> Output:
        kept = self._kept
        if path in kept:
            return kept[path]
        for item in self.outputs:
            if item.path == path:
                raise UsageError(f"output {path} of run {self.id} was not kept: {item.reason}")
        some = f"kept are: {', '.join(sorted(kept)[:10]) or 'none'}"
        raise UsageError(f"run {self.id} has no output {path!r}", did_you_mean(path, kept, some))

    @property
    def log(self) -> str:
        """What it wrote to its standard output and error so far, without escapes and controls."""
        cleaner = Cleaner()
        with self._session() as session:
            run = session.record.logged_run(self.id)
            pieces = [cleaner.feed(piece) for piece in log_chunks(session, run, follow=False)]
        return "".join([*pieces, cleaner.close()])

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with Session.as_it_is(self._settings) as session:
            yield session

    def __repr__(self) -> str:
        return f"Run({self.id} {self.job}: {self.state})"

    def __eq__(self, other: object) -> bool:
        """Whether both are the same run of the same record."""
        return isinstance(other, Run) and (self.id, self._settings) == (other.id, other._settings)

    def __hash__(self) -> int:
        return hash(self.id)

    def _repr_html_(self) -> str:
        pairs = [pair for block in run_page(self._facts) if isinstance(block, Fields) for pair in block.pairs]
        return fields_html(pairs)
