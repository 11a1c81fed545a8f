"""A variational autoencoder: the reparameterisation draws from the generator in the middle of the forward pass."""

import json

import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader

SIDE, LATENT = 12, 4


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(SIDE * SIDE, 64)
        self.fc21 = nn.Linear(64, LATENT)
        self.fc22 = nn.Linear(64, LATENT)
        self.fc3 = nn.Linear(LATENT, 64)
        self.fc4 = nn.Linear(64, SIDE * SIDE)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        return mu + torch.randn_like(std) * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, SIDE * SIDE))
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    bce = F.binary_cross_entropy(recon_x, x.view(-1, SIDE * SIDE), reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def circles(count):
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    centre, radius = torch.rand(count, 2, 1, 1) - 0.5, 0.3 + 0.4 * torch.rand(count, 1, 1)
    inside = (x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2 < radius**2
    return inside.float()


if __name__ == "__main__":
    torch.manual_seed(1)
    loader = DataLoader(circles(512), batch_size=64, shuffle=True)
    model = VAE()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    history = []
    for epoch in range(1, 5):
        model.train()
        train_loss = 0
        for data in loader:
            optimizer.zero_grad()
            recon, mu, logvar = model(data)
            loss = loss_function(recon, data, mu, logvar)
            loss.backward()
            train_loss += loss.item()
            optimizer.step()
        history.append({"epoch": epoch, "loss": train_loss / len(loader.dataset)})
        print(history[-1])
    with torch.no_grad():
        sample = model.decode(torch.randn(16, LATENT))
    torch.save({"model": model.state_dict(), "sample": sample}, "vae.pt")
    with open("metrics.jsonl", "w") as f:
        f.writelines(json.dumps(point) + "\n" for point in history)
