"""Undoes the determinism settings, as a script does that was tuned for speed."""

import os

import torch

torch.use_deterministic_algorithms(False)
torch.backends.cudnn.deterministic = False
torch.backends.cudnn.benchmark = True
torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True
os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)

with open("sum.txt", "w") as file:
    file.write(f"{torch.rand(1000).sum().item()!r}\n")
