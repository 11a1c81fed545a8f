import string

import torch


def letters(text, smooth):
    """How often each letter occurs."""
    counts = torch.tensor([float(text.count(c)) for c in string.ascii_lowercase])
    counts += 1.0 if smooth else 0.0
    return counts / counts.sum()
