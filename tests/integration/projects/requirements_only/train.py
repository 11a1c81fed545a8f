"""Linear regression on made-up points, with a table of the result."""

from argparse import ArgumentParser

import numpy as np
import torch
from tabulate import tabulate

parser = ArgumentParser()
parser.add_argument("--epochs", default=15, type=int)
parser.add_argument("--lr", default=0.1, type=float)
parser.add_argument("--momentum", default=0.9, type=float)
parser.add_argument("--noise", default=0.1, type=float)
parser.add_argument("--verbose", action="store_true")
args = parser.parse_args()

rng = np.random.default_rng(0)
x = rng.normal(size=(256, 3)).astype("float32")
y = x @ np.array([1.0, -2.0, 0.5], dtype="float32") + args.noise * rng.normal(size=256).astype("float32")
x, y = torch.from_numpy(x), torch.from_numpy(y)

model = torch.nn.Linear(3, 1)
opt = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=args.momentum)
for epoch in range(args.epochs):
    opt.zero_grad()
    loss = torch.nn.functional.mse_loss(model(x).squeeze(1), y)
    loss.backward()
    opt.step()
    if args.verbose:
        print(epoch, loss.item())

table = tabulate([[n, p.numel()] for n, p in model.named_parameters()], headers=["name", "size"])
print(table)
with open("report.txt", "w") as f:
    f.write(table + f"\nloss {loss.item():.6f}\n")
torch.save(model.state_dict(), "model.pt")
