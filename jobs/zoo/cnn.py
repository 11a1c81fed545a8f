"""A convolutional classifier, as tutorials write it: two convolutions, dropout, SGD with a schedule."""

import argparse
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, 1)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, 1)
        self.dropout = nn.Dropout(0.25)
        self.fc1 = nn.Linear(32 * 6 * 6, 64)
        self.fc2 = nn.Linear(64, 4)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.dropout(torch.flatten(x, 1))
        return F.log_softmax(self.fc2(F.relu(self.fc1(x))), dim=1)


def make_images(count):
    """Bars of four directions with noise: 16 x 16 pixels, and which direction it was."""
    labels = torch.randint(0, 4, (count,))
    images = 0.3 * torch.randn(count, 1, 16, 16)
    for image, label in zip(images[:, 0], labels):
        place = int(torch.randint(2, 14, ()))
        if label == 0:
            image[place] += 1
        elif label == 1:
            image[:, place] += 1
        else:
            stripe = torch.eye(16) if label == 2 else torch.eye(16).flip(0)
            image += stripe
    return TensorDataset(images, labels)


def train(args, model, loader, optimizer, epoch):
    model.train()
    for batch, (data, target) in enumerate(loader):
        optimizer.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        optimizer.step()
        if batch % args.log_interval == 0:
            print(f"epoch {epoch} batch {batch} loss {loss.item():.6f}")


def test(model, loader):
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for data, target in loader:
            output = model(data)
            loss += F.nll_loss(output, target, reduction="sum").item()
            correct += (output.argmax(dim=1) == target).sum().item()
    size = len(loader.dataset)
    return {"test_loss": loss / size, "accuracy": correct / size}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--gamma", type=float, default=0.7)
    parser.add_argument("--log-interval", type=int, default=10)
    args = parser.parse_args()

    train_loader = DataLoader(make_images(800), batch_size=args.batch_size, shuffle=True, num_workers=2)
    test_loader = DataLoader(make_images(200), batch_size=100)
    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    scheduler = StepLR(optimizer, step_size=1, gamma=args.gamma)
    for epoch in range(args.epochs):
        train(args, model, train_loader, optimizer, epoch)
        metrics = test(model, test_loader)
        scheduler.step()
    with open("metrics.json", "w") as f:
        json.dump(metrics, f)
    torch.save(model.state_dict(), "cnn.pt")


if __name__ == "__main__":
    main()
