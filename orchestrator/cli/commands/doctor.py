"""reprise doctor"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option
from orchestrator.errors import ExitCode


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Check this box: what is wrong, and how to mend it.

    Engine, GPU, database, store, registry and base are looked at; `absent` is not wrong, only not there.
    A container is started that passes its limits, writes, and is ended: `jobs` says what was not held.
    The exit code is 5 where something is wrong.

    JSON: `checks` (`name`, `ok`, `detail`, `hint`).
    """
    from orchestrator.cli.terminal.console import print_view, tell
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.doctor import checks
    from orchestrator.message_wording import count
    from orchestrator.view.box_view import checks_view

    with opened() as session:
        found = list(checks(session))
    print_view(checks_view(found), as_json)
    wrong = sum(check.ok is False for check in found)
    if wrong and not as_json:
        tell(f"\n{wrong} of {count(len(found), 'check')} found something wrong")
    return ExitCode.INFRASTRUCTURE if wrong else ExitCode.OK
