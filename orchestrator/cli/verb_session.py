"""The session of a verb. It also takes over runs whose orchestrator died."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.launch.session import Session
    from orchestrator.record.run_record import RunRecord

# Modules that a verb needs when its job is done, for answer, exit code and signature. They are imported while
# the job runs.
AT_THE_END = (
    "orchestrator.view.runs.run_view",
    "orchestrator.cli.exit_codes",
    "orchestrator.audit.heads.signed_heads",
)


@contextmanager
def opened(adopting: bool = False) -> Iterator[Session]:
    """This box. With `adopting`, runs whose orchestrator died are finished in the background meanwhile.

    At the end the ledger is signed where a run has ended: by this command, or by one that died before it.
    """
    from orchestrator.cli.terminal.console import tell
    from orchestrator.launch.home_permissions import close_home
    from orchestrator.launch.session import Session

    with Session.open() as session:
        session.at_the_end = AT_THE_END
        for text in close_home(session.settings):
            tell(f"warning: {text}")
        try:
            if adopting:
                _adopt(session)
            yield session
        finally:
            if "record" in vars(session) and (adopting or session.record.wrote):
                _sign(session)


def _sign(session: Session) -> None:
    """Sign the ledger if that is due (0.3 ms if not). A failure is printed and does not fail the command."""
    from orchestrator.errors import RepriseError

    try:
        if session.record.ledger.head_due():
            from orchestrator.audit.heads.signed_heads import sign_if_due

            sign_if_due(session)
    except (RepriseError, OSError) as error:
        from orchestrator.cli.terminal.console import tell

        hint = f" ({error.hint})" if isinstance(error, RepriseError) and error.hint else ""
        tell(f"no tree head was signed: {error}{hint}")


def _adopt(session: Session) -> None:
    """Usually no run is open, and the engine's libraries (0.1 s) are not imported."""
    from orchestrator.record.run_record import HistoryFilter
    from orchestrator.run.attempt_model import OPEN_STATES

    if session.record.history.lines(HistoryFilter(states=OPEN_STATES, limit=1)):
        from orchestrator.cli.terminal.run_progress import notes_only
        from orchestrator.launch.execute.recover import adopt, dispatch_soon

        adopt(session, notes_only(), wait=False)
        dispatch_soon(session)


def find_run(session: Session, text: str, points: bool = False) -> RunRecord:
    """The run of an id, or of its beginning (four characters or more). `points`: with those of metrics."""
    read = session.record.run_with_points if points else session.record.run
    return read(session.record.find(text))
