"""reprise completion"""

from __future__ import annotations

import click

WHERE = {
    "bash": "reprise completion bash > ~/.local/share/bash-completion/completions/reprise",
    "zsh": "reprise completion zsh > ~/.zfunc/_reprise   (a folder of your fpath)",
    "fish": "reprise completion fish > ~/.config/fish/completions/reprise.fish",
}


@click.command("completion", epilog="\b\nTo install:\n" + "\n".join(f"  {how}" for how in WHERE.values()))
@click.argument("shell", type=click.Choice(list(WHERE)))
def command(shell: str) -> None:
    """Print the shell completion script."""
    from click.shell_completion import get_completion_class

    from orchestrator.cli.main import COMPLETION_VARIABLE, cli

    make = get_completion_class(shell)
    assert make is not None  # noqa: S101  (the choices above are the shells that click knows)
    click.echo(make(cli, {}, "reprise", COMPLETION_VARIABLE).source())
