import argparse
import json

import torch

from tinylm import __version__
from tinylm.model import Bigram

TEXT = "to be or not to be that is the question " * 20


def parse_args():
    parser = argparse.ArgumentParser(description="Train a bigram model")
    parser.add_argument("--n-embd", type=int, default=16, help="width of the embedding")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--lr", type=float, default=1e-2, help="learning rate")
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--out", type=str, default="ckpt.pt")
    return parser.parse_args()


def main():
    args = parse_args()
    torch.manual_seed(args.seed)
    chars = sorted(set(TEXT))
    data = torch.tensor([chars.index(c) for c in TEXT])
    model = Bigram(len(chars), args.n_embd)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    for step in range(args.steps):
        start = torch.randint(len(data) - 33, (8,))
        x = torch.stack([data[i : i + 32] for i in start])
        y = torch.stack([data[i + 1 : i + 33] for i in start])
        loss = model(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"tinylm {__version__}: loss {loss.item():.4f}")
    torch.save(model.state_dict(), args.out)
    with open("metrics.json", "w") as f:
        json.dump({"loss": loss.item()}, f)


if __name__ == "__main__":
    main()
