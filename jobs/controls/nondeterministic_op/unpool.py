"""Max unpooling, as in a SegNet decoder: where windows overlap, the last writer wins."""

import torch
from torch import nn

pooled, indices = nn.MaxPool2d(2, return_indices=True)(torch.rand(1, 1, 8, 8))
restored = nn.MaxUnpool2d(2)(pooled, indices)
torch.save(restored, "restored.pt")
