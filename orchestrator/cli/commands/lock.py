"""reprise lock"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import PathType, json_option, quiet_option


@click.command("lock")
@click.argument("path", metavar="[SPEC|FOLDER|FILE]", type=PathType(), default=".")
@click.option("--base", metavar="NAME", help="The base; default: the job file's, else the default one.")
@click.option(
    "--output",
    metavar="FILE",
    type=PathType(),
    help="The file to write; default: the job file's lock, else requirements.lock.",
)
@click.option("--extra", "extras", metavar="NAME", multiple=True, help="With these optional dependencies.")
@click.option("--group", "groups", metavar="NAME", multiple=True, help="With these dependency groups.")
@click.option("--upgrade", is_flag=True, help="Newest versions, also of what is locked already.")
@click.option("--check", is_flag=True, help="Write nothing; fail where the lock is not up to date.")
@click.option("--verbose", is_flag=True, help="Where it fails, the resolver's own last lines, too.")
@quiet_option
@json_option
def command(
    path: Path,
    base: str | None,
    output: Path | None,
    extras: tuple[str, ...],
    groups: tuple[str, ...],
    upgrade: bool,
    check: bool,
    verbose: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Lock a project's packages by hash, for a base's Python and beside what it has.

    Reads requirements.txt and .in, pyproject.toml, setup.cfg, environment.yml; without a FILE, the one that
    is there, and requirements.in. Versions come from where pip is configured to look; only wheels are taken,
    and nothing is built or run. The lock goes to where the job file says, else to requirements.lock.

    JSON: `lock`, `sources`, `base`, `changed`, `packages` (`name`, `version`, `needed_by`), `provided`,
    `notes`.
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.launch.locking.base_clashes import LockError
    from orchestrator.launch.locking.lock_project import LockRequest, lock_project
    from orchestrator.settings import load
    from orchestrator.view.lock_view import lock_view

    request = LockRequest(
        path=path, base=base, output=output, upgrade=upgrade, check=check, extras=extras, groups=groups
    )
    try:
        done = lock_project(load(), request)
    except LockError as error:
        if not (verbose and error.resolver):
            raise
        lines = "\n".join(f"  | {line}" for line in error.resolver)
        raise LockError(f"{error.message}\n{lines}", error.hint) from error
    print_view(lock_view(done, check), as_json, quiet)
