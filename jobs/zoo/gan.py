"""A GAN on points of a ring: two networks, two optimizers, the discriminator's loss from two backward passes."""

import json

import torch
import torch.nn as nn

nz, ngf, batch = 4, 32, 64


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(nn.Linear(nz, ngf), nn.BatchNorm1d(ngf), nn.ReLU(True), nn.Linear(ngf, 2))

    def forward(self, input):
        return self.main(input)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(nn.Linear(2, ngf), nn.LeakyReLU(0.2, inplace=True), nn.Linear(ngf, 1), nn.Sigmoid())

    def forward(self, input):
        return self.main(input).squeeze(1)


def weights_init(m):
    if type(m) is nn.Linear:
        nn.init.normal_(m.weight, 0.0, 0.2)


def real_points():
    angle = 2 * torch.pi * torch.rand(batch)
    return torch.stack([angle.cos(), angle.sin()], dim=1) + 0.05 * torch.randn(batch, 2)


netG, netD = Generator().apply(weights_init), Discriminator().apply(weights_init)
criterion = nn.BCELoss()
optimizerD = torch.optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
optimizerG = torch.optim.Adam(netG.parameters(), lr=2e-3, betas=(0.5, 0.999))
fixed_noise = torch.randn(128, nz)
with open("metrics.jsonl", "w") as log:
    for i in range(60):
        netD.zero_grad()
        label = torch.ones(batch)
        errD_real = criterion(netD(real_points()), label)
        errD_real.backward()
        fake = netG(torch.randn(batch, nz))
        errD_fake = criterion(netD(fake.detach()), label * 0)
        errD_fake.backward()
        optimizerD.step()

        netG.zero_grad()
        errG = criterion(netD(fake), label)
        errG.backward()
        optimizerG.step()
        log.write(json.dumps({"step": i, "loss_d": (errD_real + errD_fake).item(), "loss_g": errG.item()}) + "\n")
netG.eval()
torch.save({"G": netG.state_dict(), "D": netD.state_dict(), "fake": netG(fixed_noise).detach()}, "gan.pt")
