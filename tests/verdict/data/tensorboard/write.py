"""What wrote the two runs beside this file; see README.md."""

import sys

import torch
from torch.utils.tensorboard import SummaryWriter

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU())
with SummaryWriter(sys.argv[1]) as writer:
    for step in range(3):
        writer.add_scalar("train/loss", 1 / (step + 1), step)
        writer.add_scalar("val/accuracy", step / 3, step, new_style=True)
        writer.add_scalar("lr", 0.1 / (step + 1), step, new_style=True, double_precision=True)
    writer.add_histogram("weights", net[0].weight, 2)
    writer.add_image("image", torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2), 2)
    writer.add_text("notes", "hello", 2)
    writer.add_graph(net, torch.zeros(1, 3))
    writer.add_hparams(dict.fromkeys("abcdefgh", 0.5), {"hparam/accuracy": 0.5})
