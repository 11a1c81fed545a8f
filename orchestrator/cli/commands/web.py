"""reprise web"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.web.server import Bound


@click.command("web")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen at; 0.0.0.0 for a team."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8100,
    show_default=True,
    help="The port; 0 takes a free one.",
)
@click.option(
    "--name",
    "names",
    metavar="HOST[:PORT]",
    multiple=True,
    help="A name under which browsers reach it, such as team.example, or https://team.example behind a proxy "
    "with TLS; no other is answered.",
)
@click.option("--root-path", default="", metavar="/PATH", help="The path below which a proxy serves it.")
@click.option("--open", "opening", is_flag=True, help="Open it in this machine's browser.")
@click.option("--new-tokens", is_flag=True, help="Forget the tokens that were given out; make new ones.")
@json_option
def command(
    host: str,
    port: int,
    names: tuple[str, ...],
    root_path: str,
    opening: bool,
    new_tokens: bool,
    as_json: bool,
) -> None:
    """Serve the dashboard: runs, live and compared, in a browser.

    It prints an address that holds a token, and serves until Ctrl-C. Whoever has the address may read,
    annotate, archive and cancel runs; with --host or --name, another address may only read.

    JSON, once it serves: `annotate`, `read` (addresses).
    """
    from orchestrator.cli.web_packages import need_web_packages
    from orchestrator.settings import load

    need_web_packages("the dashboard")
    from orchestrator.web.server import prepare, serve

    def ready(bound: Bound) -> None:
        _tell(bound, as_json)
        if opening:
            import webbrowser

            # By its arguments: all users of this machine see them, so they hold what opens it only once.
            webbrowser.open(bound.address(bound.ticket.text))

    settings, renew = load(), new_tokens
    serve(prepare(settings, host=host, port=port, names=names, root_path=root_path, renew=renew, ready=ready))


def _tell(bound: Bound, as_json: bool) -> None:
    # Not by the printer, which takes secrets out: these addresses are what the command is asked for.
    annotate, read = (bound.address(token) for token in (bound.tokens.annotate, bound.tokens.read))
    if as_json:
        click.echo(json.dumps({"annotate": annotate, "read": read}, sort_keys=True))
        return
    click.echo(f"reprise web serves {annotate}")
    if not bound.local:
        click.echo(f"to read only:      {read}")
    if bound.plain:
        click.echo("whoever reads along on the network reads the token: put a proxy with TLS before it")
    click.echo("Ctrl-C ends it")
