"""A run's outputs: listed, or copied into a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.message_wording import count
from orchestrator.run.attempt_model import Output
from orchestrator.view.forms.human_units import size_text
from orchestrator.view.forms.page import Block, Table, Text, Tone, View


def outputs_view(run: str, outputs: Sequence[Output]) -> View:
    document = {"run": run, "outputs": outputs, "copied_to": None, "not_restored": ()}
    return View(document, (_outputs_table(outputs),) if outputs else (Text("no outputs"),))


def outputs_page(outputs: Sequence[Output], limit: int | None = None) -> Iterator[Block]:
    """Empty for a run without outputs."""
    if not outputs:
        return
    shown = outputs[:limit]
    yield Text()
    yield _outputs_table(shown)
    if len(shown) < len(outputs):
        yield Text(f"and {len(outputs) - len(shown)} more; `reprise outputs RUN` lists all", Tone.QUIET)


def _outputs_table(outputs: Sequence[Output]) -> Table:
    rows = [(item.path, size_text(item.size) if item.digest else "", stands_for(item)) for item in outputs]
    return Table(("output", "size", "sha256"), rows, right=("size",))


def stands_for(item: Output) -> str:
    """What a list shows of an output: its digest, shortened, or why it has none."""
    if item.digest is not None:
        return item.digest.short
    return f"-> {item.target}" if item.link is not None else f"rejected: {item.reason}"


def copied_view(
    run: str, outputs: Sequence[Output], target: Path, size: int, not_restored: dict[str, str]
) -> View:
    """`size` bytes were written; `not_restored`: path -> why."""

    def page() -> Iterator[Block]:
        kept = [item for item in outputs if item.path not in not_restored]
        links = sum(item.link is not None for item in kept)
        also = f", {count(links, 'link')}" if links else ""
        files = count(len(kept) - links, "file")
        yield Text(f"{files}, {size_text(size)}, verified{also}, in {target}")
        for path, why in not_restored.items():
            yield Text(f"not brought back: {path}: {why}", Tone.ODD)

    lost = [{"path": path, "why": why} for path, why in not_restored.items()]
    document = {"run": run, "outputs": outputs, "copied_to": target.absolute(), "not_restored": lost}
    return View(document, page())
