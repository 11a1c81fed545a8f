"""reprise worker list"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


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
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.workers.box_fit import boxes_now
    from orchestrator.view.box_view import boxes_view

    with opened() as session:
        boxes = boxes_now(session)
    print_view(boxes_view(boxes), as_json)
