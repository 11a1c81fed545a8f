"""Train a small CNN on scikit-learn's handwritten digits (1,797 images of 8x8, real ones).

An ordinary script: it knows nothing of Reprise, and runs as well with plain `python train.py`.
"""

import argparse
import csv
import json

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, default=0.003)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    train, test = load_data(args.seed)
    model = build_model(args.dropout).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    loader = DataLoader(TensorDataset(*train), batch_size=args.batch_size, shuffle=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.lr, epochs=args.epochs, steps_per_epoch=len(loader)
    )

    with open("metrics.jsonl", "w") as series:
        for epoch in range(1, args.epochs + 1):
            train_loss = train_epoch(model, loader, optimizer, schedule, device)
            loss, accuracy, predicted = evaluate(model, test, device)
            point = {"step": epoch, "train_loss": train_loss, "loss": loss, "accuracy": accuracy}
            series.write(json.dumps(point) + "\n")
            print(f"epoch {epoch:2}/{args.epochs}  loss {loss:.4f}  accuracy {accuracy:.4f}", flush=True)

    with open("metrics.json", "w") as file:
        json.dump({"accuracy": accuracy, "loss": loss, "train_loss": train_loss}, file, indent=2)
    with open("predictions.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["digit", "predicted"])
        writer.writerows(zip(test[1].tolist(), predicted.tolist(), strict=True))
    torch.save(model.state_dict(), "model.pt")


def load_data(seed):
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    parts = train_test_split(images, labels, test_size=0.25, random_state=seed, stratify=digits.target)
    return (parts[0], parts[2]), (parts[1], parts[3])


def build_model(dropout):
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(64 * 4 * 4, 10),
    )


def train_epoch(model, loader, optimizer, schedule, device):
    model.train()
    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images.to(device)), labels.to(device))
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item() * len(labels)
    return total / len(loader.dataset)


@torch.no_grad()
def evaluate(model, data, device):
    model.eval()
    images, labels = (part.to(device) for part in data)
    scores = model(images)
    predicted = scores.argmax(dim=1)
    accuracy = (predicted == labels).float().mean().item()
    return nn.functional.cross_entropy(scores, labels).item(), accuracy, predicted


if __name__ == "__main__":
    main()
