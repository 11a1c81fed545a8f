"""reprise logs"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

import click

from orchestrator.cli.options import json_option


@click.command("logs")
@click.argument("run")
@click.option("-f", "--follow", is_flag=True, help="While the run goes on, print what it writes.")
@click.option("--tail", metavar="N", type=click.IntRange(0), help="Only the last N lines.")
@click.option("--raw", is_flag=True, help="The exact bytes: escapes and controls are not removed.")
@json_option
def command(run: str, follow: bool, tail: int | None, raw: bool, as_json: bool) -> None:
    """Print what a run wrote to its standard output and error.

    Escape sequences, control characters and bidi marks are removed; of a progress bar the last state of
    each line is kept.

    JSON: `run`, `state`, `truncated`, `lines`.
    """
    if follow and as_json:
        raise click.UsageError("--follow and --json do not go together: a document has an end")
    if raw and (as_json or tail is not None):
        raise click.UsageError("--raw goes with neither --json nor --tail: they speak of lines of text")
    from orchestrator.cli.terminal.console import print_document, tell
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.dispatch.find_log import log_chunks
    from orchestrator.view.forms.page import Tone
    from orchestrator.view.runs.run_view import no_log

    with opened(adopting=True) as session:
        record = session.record.logged_run(session.record.find(run))
        if raw:
            for chunk in log_chunks(session, record, follow=follow):
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
            return
        lines = clean_lines(log_chunks(session, record, follow=follow))
        if tail is not None and follow:
            there = sum(1 for _ in clean_lines(log_chunks(session, record, follow=False)))
            lines = islice(lines, max(there - tail, 0), None)
        elif tail is not None:
            lines = iter(deque(lines, maxlen=tail))
        if as_json:
            truncated = record.log.truncated if record.log else False
            document = {"run": record.id, "state": record.state, "truncated": truncated}
            print_document(document | {"lines": [text.removesuffix("\n") for text in lines]})
            return
        printed = False
        for text in lines:
            sys.stdout.write(text)
            sys.stdout.flush()
            printed = True
        if not printed and tail != 0:
            tell(no_log(session.record.logged_run(record.id)), Tone.QUIET)


def clean_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Clean lines of a raw log, each with its newline."""
    from orchestrator.view.forms.clean_text import Cleaner

    cleaner = Cleaner()
    for chunk in chunks:
        *lines, _ = cleaner.feed(chunk).split("\n")
        yield from (line + "\n" for line in lines)
    yield from (line + "\n" for line in cleaner.close().split("\n") if line)
