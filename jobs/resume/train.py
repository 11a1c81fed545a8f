"""Train a small net up to an epoch, from nothing or from a checkpoint: both ways give the same weights.

An ordinary script. A checkpoint holds all that decides what comes next: weights, the optimizer's state, the
epoch, and the state of the random numbers.
"""

import argparse
import json

import torch
from torch import nn


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3, help="train up to this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", help="go on from here")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    inputs, labels = made_up_data()
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    done = load(args.checkpoint, model, optimizer) if args.checkpoint else 0

    for epoch in range(done + 1, args.epochs + 1):
        for rows in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs[rows]), labels[rows])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}/{args.epochs}  loss {loss.item():.4f}", flush=True)

    state = {"epoch": args.epochs, "random": torch.get_rng_state()}
    torch.save(state | {"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "checkpoint.pt")
    torch.save(model.state_dict(), "model.pt")
    with open("metrics.json", "w") as file:
        json.dump({"loss": loss.item()}, file)


def load(path, model, optimizer):
    """Take everything over from a checkpoint; returns the epochs that it has behind it."""
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    return state["epoch"]


def made_up_data():
    numbers = torch.Generator().manual_seed(1)
    inputs = torch.randn(512, 16, generator=numbers)
    return inputs, (inputs @ torch.randn(16, 4, generator=numbers)).argmax(dim=1)


if __name__ == "__main__":
    main()
