#!/usr/bin/env python
import argparse

import numpy as np
import tomli_w
import torch
from tabulate import tabulate
from torch import nn


def get_args_parser():
    parser = argparse.ArgumentParser("Autoencoder", add_help=False)
    parser.add_argument("--batch_size", default=32, type=int)
    parser.add_argument("--hidden", default=4, type=int)
    parser.add_argument("--blr", default=1e-2, type=float, help="base learning rate")
    parser.add_argument("--device", default="cpu", help="device to use")
    parser.add_argument("--seed", default=0, type=int)
    parser.add_argument("--resume", default="", help="resume from checkpoint")
    return parser


def main(args):
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)
    data = torch.from_numpy(np.random.rand(256, 12).astype("float32")).to(args.device)
    model = nn.Sequential(nn.Linear(12, args.hidden), nn.ReLU(), nn.Linear(args.hidden, 12)).to(args.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.blr)
    for i in range(0, len(data), args.batch_size):
        batch = data[i : i + args.batch_size]
        loss = nn.functional.mse_loss(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(tabulate([["loss", loss.item()]]))
    with open("result.toml", "wb") as f:
        tomli_w.dump({"loss": loss.item()}, f)
    torch.save(model, "model.pth")


if __name__ == "__main__":
    parser = argparse.ArgumentParser("Autoencoder", parents=[get_args_parser()])
    main(parser.parse_args())
