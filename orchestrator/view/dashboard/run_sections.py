"""What is recorded of a run, part by part: for a page that has room for all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.message_wording import count, shortened
from orchestrator.record.ledger.read_ledger import LedgerEvent
from orchestrator.record.run_record import RunLine, RunRecord
from orchestrator.spec.jobfile.placeholders import text_of
from orchestrator.value import Plain, flat
from orchestrator.view.forms.human_units import number_text, size_text
from orchestrator.view.forms.page import Block, Fields, Patch, Table, Text, Tone
from orchestrator.view.ledger_view import events_view

FLAGS_SHOWN = 200  # of one process
PROCESSES_SHOWN = 10
FILES_SHOWN = 2_000
PATCH_SHOWN = 2_000  # lines
LONGEST_SHOWN = 4_000  # characters of a line of a patch


def parameters_page(run: RunRecord) -> Iterator[Block]:
    """The job file's parameters, and those that the script logged for its tracker, each with its file."""
    rows = [(name, text_of(value)) for name, value in sorted(run.program.params.items())]
    yield Table(("parameter", "value"), [*rows, ("seed", str(run.program.seed))])
    if run.logged:
        logged = [(name, text_of(one.value), one.source) for name, one in sorted(run.logged.items())]
        yield Table(("logged by the script", "value", "in"), logged)


def metrics_page(line: RunLine) -> Iterator[Block]:
    """Each metric's last, least and greatest value, with their steps."""
    if not line.metrics:
        yield Text("no metrics", Tone.QUIET)
        return
    rows = []
    for name, last in sorted(line.metrics.items()):
        found = line.reached.get(name)
        steps = (found.last_step, found.min_step, found.max_step) if found else (None,) * 3
        values = (last, found.min if found else None, found.max if found else None)
        cells = zip(values, steps, strict=True)
        rows.append((name, *(text for value, step in cells for text in (_number(value), _step(step)))))
    columns = ("metric", "last", "at step", "least", "at step ", "greatest", " at step")
    yield Table(columns, rows, right=columns[1:])


def _number(value: float | None) -> str:
    return "" if value is None else number_text(value)


def _step(step: int | None) -> str:
    return "" if step is None else f"{step:,}"


def _plain(value: Plain) -> str:
    return "none" if value is None else text_of(value)


def packages_page(run: RunRecord) -> Iterator[Block]:
    yield Table(("package", "version"), sorted(run.packages.items()))


def source_page(run: RunRecord) -> Iterator[Block]:
    """The source files that ran, as the entry point found them."""
    rows = [(path, f"sha256:{mark[:12]}") for path, mark in sorted(run.source.items())[:FILES_SHOWN]]
    yield Table(("file", "content"), rows)
    if len(run.source) > FILES_SHOWN:
        yield Text(f"and {len(run.source) - FILES_SHOWN:,} more", Tone.QUIET)


def patch_page(run: RunRecord, patch: bytes, more: bool) -> Iterator[Block]:
    """The beginning of what its source changed: the whole may be 64 MiB, and more than a browser can show.

    `more`: the patch goes on.
    """
    lines = patch.removesuffix(b"\n").split(b"\n", PATCH_SHOWN)
    shown = [line.decode("utf-8", "replace") for line in lines[:PATCH_SHOWN]]
    yield Patch("\n".join(shortened(text, LONGEST_SHOWN) for text in shown))
    whole = f"`reprise show {run.id} --patch` prints all"
    if more:
        said = (
            f"the beginning of a patch of more than {size_text(len(patch))}, not checked against its digest"
        )
        yield Text(f"{said}; {whole}", Tone.QUIET)
    elif len(lines) > PATCH_SHOWN:
        left = lines[-1].count(b"\n") + 1
        yield Text(f"and {count(left, 'more line')}; {whole}", Tone.QUIET)
    elif any(len(text) > LONGEST_SHOWN for text in shown):
        yield Text(f"long lines are shortened; {whole}", Tone.QUIET)


def hardware_page(run: RunRecord) -> Iterator[Block]:
    """What can change bits, then what changes speed."""
    found = run.fingerprint
    if found is None:
        return
    for title, facts in (("what can change bits", found.bit_class), ("what changes speed", found.perf_class)):
        yield Text(title, Tone.QUIET)
        yield Fields([(name, _plain(value)) for name, value in sorted(flat(facts).items())])
    yield Fields([("bit class", str(found.bit_digest))])


def settings_page(run: RunRecord) -> Iterator[Block]:
    """Determinism settings as each process of the job read them back, at its start and at its end."""
    for readback in run.readbacks[:PROCESSES_SHOWN]:
        yield Text(f"process {readback.pid}: {' '.join(readback.argv)}", Tone.QUIET)
        start, end = flat(readback.start or {}), flat(readback.end or {})
        rows = []
        for name in sorted(start.keys() | end.keys())[:FLAGS_SHOWN]:
            before, after = (_plain(held[name]) if name in held else "" for held in (start, end))
            moved = "changed" if readback.end is not None and before != after else ""
            rows.append((name, before, after if readback.end is not None else "not read", moved))
        yield Table(("setting", "at its start", "at its end", "by the script"), rows)
    if len(run.readbacks) > PROCESSES_SHOWN:
        yield Text(f"and {len(run.readbacks) - PROCESSES_SHOWN} more processes", Tone.QUIET)


def traces_page(run: RunRecord) -> Iterator[Block]:
    rows = [
        (
            str(one.rank),
            "not told" if one.told_steps is None else f"{one.told_steps:,}",
            f"{one.events:,}",
            size_text(one.size),
            one.broken or "",
        )
        for one in run.traces
    ]
    columns = ("rank", "steps", "events", "size", "broken")
    yield Table(columns, rows, right=columns[:4])


def events_page(events: Sequence[LedgerEvent]) -> Iterator[Block]:
    yield from events_view(events, len(events), more=False).page


def gaps_page(run: RunRecord) -> Iterator[Block]:
    """What is to be known of what the job left: what could not be read, and what it logged otherwise."""
    yield from (Text(note, Tone.ODD) for note in run.notes)
