"""reprise doctor"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option
from orchestrator.errors import ExitCode

WORDS = {True: "ok", False: "wrong", None: "absent"}


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Check this box: what is wrong, and how to mend it.

    Engine, GPU, database, store, registry and base are looked at; `absent` is not wrong, only not there.
    The exit code is 5 where something is wrong.

    JSON: `checks` (`name`, `ok`, `detail`, `hint`).
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import tell
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.doctor import checks

    with opened() as session:
        found = list(checks(session))
    wrong = [check for check in found if check.ok is False]
    if as_json:
        names = ("name", "ok", "detail", "hint")
        print_document({"checks": [{name: getattr(check, name) for name in names} for check in found]})
    else:
        from orchestrator.cli.terminal.console import line, table

        table(("check", "state", "detail"), [(check.name, WORDS[check.ok], check.detail) for check in found])
        for check in found:
            if check.hint and not check.ok:
                line(f"\n{check.name}: {check.hint}")
        if wrong:
            tell(f"\n{len(wrong)} of {len(found)} checks found something wrong")
    return ExitCode.INFRASTRUCTURE if wrong else ExitCode.OK
