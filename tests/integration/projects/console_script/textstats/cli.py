"""Command line of textstats."""

import json

import click
import torch

from .counts import letters


@click.command()
@click.option("--text", default="the quick brown fox jumps over the lazy dog", help="What to learn from.")
@click.option("--steps", default=30, show_default=True)
@click.option("--lr", type=float, default=0.5)
@click.option("--smooth/--no-smooth", default=True)
@click.option("--seed", type=int, default=3)
def main(text, steps, lr, smooth, seed):
    """Fit a distribution of letters."""
    torch.manual_seed(seed)
    goal = letters(text, smooth)
    logits = torch.randn(len(goal), requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=lr)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(logits.unsqueeze(0), goal.unsqueeze(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(logits.detach(), "letters.pt")
    with open("metrics.json", "w") as f:
        json.dump({"loss": loss.item()}, f)
    click.echo(f"loss {loss.item():.4f}")


@click.command()
@click.argument("path")
def show(path):
    """Print what was learnt."""
    click.echo(torch.load(path).tolist())
