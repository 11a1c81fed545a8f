"""reprise worker list"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.record.run_record import BoxLine


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List boxes with a worker: hardware, bit class, state, what they run.

    A box is `silent` when its worker has said nothing for a minute. Equal bit classes: equal bits are
    expected.

    JSON: `boxes`, each with `id`, `name`, `state` (`up`, `draining`, `down`, `silent`), `boot`, `slots`,
    `trouble` (why it takes nothing now; empty: it takes runs), `cpus`, `memory`, `gpus`, `bit_class`,
    `bit_digest`, `versions`, `started_at`, `seen_at`, `silence` (seconds), `runs`.
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line, table
    from orchestrator.cli.terminal.human_units import moment_text
    from orchestrator.cli.terminal.summary import BOX_SHOWN
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.workers.box_fit import state_of

    with opened() as session:
        found = session.record.boxes.all()
    if as_json:
        documents = [box.model_copy(update={"state": state_of(box)}) for box in found]
        print_document({"boxes": documents})
        return
    if not found:
        line("no boxes: none has a worker yet (`reprise worker start`)")
        return
    rows = [
        (
            box.name,
            box.id[:BOX_SHOWN],
            state_of(box),
            hardware(box),
            box.bit_digest.short,
            moment_text(box.seen_at),
            " ".join(box.runs),
            box.trouble,
        )
        for box in found
    ]
    table(("box", "id", "state", "hardware", "bit class", "last seen", "runs", "takes nothing because"), rows)


def hardware(box: BoxLine) -> str:
    """`2 x NVIDIA H100 PCIe, 32 cores, 251.0 GiB`."""
    from orchestrator.cli.terminal.human_units import size_text

    models = Counter(gpu.name for gpu in box.gpus)
    parts = [f"{count} x {name}" if count > 1 else name for name, count in models.items()]
    return ", ".join([*parts, f"{box.cpus} cores", size_text(box.memory)])
