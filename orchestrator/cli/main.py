"""Entry point: the lazy group of verbs, and the one place where errors become exit codes."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from orchestrator import __version__
from orchestrator.cli.verbs import EXIT_CODES, GROUPS, VERBS, module_of, verbs_of
from orchestrator.errors import ExitCode, RepriseError

COMPLETION_VARIABLE = "_REPRISE_COMPLETE"
NAMES_WIDE = 11  # columns of the longest verb in the help


class LazyGroup(click.Group):
    """Verbs by name only: the module of a verb is imported when the verb is used."""

    prefix = ""  # what is typed after `reprise` to come here: "" or `ledger`

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(verbs_of(self.prefix))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        path = f"{self.prefix} {cmd_name}".strip()
        if path in GROUPS:
            inner = LazyGroup(cmd_name, help=VERBS[path].summary)
            inner.prefix = path
            return inner
        if path not in VERBS:
            return None
        command = importlib.import_module(module_of(path)).command
        assert isinstance(command, click.Command)  # noqa: S101  (for mypy: a module's attribute is Any)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        path = f"{self.prefix} {args[0]}".strip()
        if path not in VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"no such verb: {path!r}{_near(self.prefix, args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        shown = {name: verb for name, verb in verbs_of(self.prefix).items() if not verb.hidden}
        for section in dict.fromkeys(verb.section for verb in shown.values()):
            with formatter.section("Verbs" if self.prefix else section):
                rows = [(name, verb.summary) for name, verb in shown.items() if verb.section == section]
                formatter.write_dl([(name.ljust(NAMES_WIDE), summary) for name, summary in rows])
        if not self.prefix:
            with formatter.section("Exit codes"):
                codes = ((str(code.value), text) for code, text in EXIT_CODES.items())
                formatter.write_dl([(code.ljust(NAMES_WIDE), text) for code, text in codes])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        items = [
            CompletionItem(name, help=verb.summary)
            for name, verb in verbs_of(self.prefix).items()
            if name.startswith(incomplete) and not verb.hidden
        ]
        return items + click.Command.shell_complete(self, ctx, incomplete)


def _near(prefix: str, typed: str) -> str:
    """A suggestion: a verb spelt like it, or a verb of a group typed without the group (`gc`: `store gc`)."""
    from difflib import get_close_matches

    inside = [path for path in VERBS if not prefix and path.endswith(f" {typed}")]
    shown = [name for name, verb in verbs_of(prefix).items() if not verb.hidden]
    near = inside if len(inside) == 1 else get_close_matches(typed, shown, n=1)
    return f"; did you mean {f'{prefix} {near[0]}'.strip()!r}?" if near else ""


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Ids can be shortened to four characters or more, digests to six. `reprise VERB -h` says more.",
)
@click.version_option(__version__, prog_name="reprise")
def cli() -> None:
    """One digest per experiment; every run recorded; a verdict on every rerun."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command line and exit with its code."""
    # A start makes up to 200,000 objects that live to the end: a collection among them takes 40 ms.
    gc.set_threshold(250_000)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows its escape; it never makes a verb fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:] if argv is None else argv)
    gc.freeze()  # without it, the collection at the exit takes another 150 ms
    sys.exit(code)


def _open_closed_streams() -> None:
    """What the caller has closed (`>&-`) leads nowhere: the next file that is opened would take its place."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode))


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code. Every failure has been printed."""
    args = list(argv)
    if COMPLETION_VARIABLE in os.environ:
        from click.shell_completion import shell_complete

        instruction = os.environ[COMPLETION_VARIABLE]
        return shell_complete(cli, {}, "reprise", COMPLETION_VARIABLE, instruction)
    code: int = ExitCode.OK
    try:
        code = _invoke(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader is gone. Python must not fail again when it flushes at exit.
        from orchestrator.cli.terminal.console import silence

        silence(sys.stdout)
    except OSError as error:
        return _unforeseen(error, args)
    return code


def _invoke(args: list[str]) -> int:
    try:
        with cli.make_context("reprise", args) as context:
            code = cli.invoke(context)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        return _report_click(error, args)
    except RepriseError as error:
        return _report(type(error).__name__, error.message, error.hint, error.exit_code, args)
    except (KeyboardInterrupt, EOFError, click.Abort):
        return _report("Interrupted", "interrupted", None, ExitCode.INTERRUPTED, args)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  (the last resort: a message, a crash report, exit 5)
        return _unforeseen(error, args)
    return int(code) if isinstance(code, int) else ExitCode.OK


def _unforeseen(error: Exception, args: list[str]) -> int:
    """A disk or a folder that cannot be used gets a message. Any other unforeseen error is a bug, and gets a
    crash report.
    """
    from orchestrator.cli.disk_errors import disk_error

    found = disk_error(error) if isinstance(error, OSError) else None
    if found is not None:
        from orchestrator.cli.terminal.console import silence

        try:
            sys.stdout.flush()
        except OSError:
            silence(sys.stdout)  # or Python fails once more when it flushes at exit
        return _report(found.kind, found.message, found.hint, ExitCode.INFRASTRUCTURE, args)
    from orchestrator.cli.crash_report import report_crash

    message, hint = report_crash(error, args)
    return _report("Crash", message, hint, ExitCode.INFRASTRUCTURE, args)


def _report_click(error: click.ClickException, args: list[str]) -> int:
    context = getattr(error, "ctx", None)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    hint = f"`{context.command_path} --help` lists what it takes" if context is not None else None
    if context is not None and isinstance(getattr(error, "param", None), click.Argument):
        hint = f"usage: {' '.join(context.get_usage().split()).removeprefix('Usage: ')}; {hint}"
    return _report("UsageError", error.format_message(), hint, ExitCode.USAGE, args)


def _report(kind: str, message: str, hint: str | None, code: ExitCode, args: list[str]) -> int:
    """Message and hint on standard error, as text or as `{"error": {...}}`."""
    from orchestrator.view.forms.clean_text import clean_text

    try:
        if "--json" in args:
            import json

            fields = {"kind": kind, "message": message, "hint": hint, "exit_code": int(code)}
            click.echo(json.dumps({"error": fields}, sort_keys=True), err=True)
        else:
            click.echo(f"reprise: {clean_text(message)}", err=True)
            if hint:
                click.echo(f"  hint: {clean_text(hint)}", err=True)
    except OSError:  # the exit code says it all the same
        from orchestrator.cli.terminal.console import silence

        silence(sys.stderr)
    return code
