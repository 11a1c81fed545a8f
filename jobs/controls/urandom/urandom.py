"""Seeds itself from the operating system, as `default_rng()` without a seed does."""

import os
import random

random.seed(os.urandom(16))
with open("weights.txt", "w") as file:
    for _ in range(100):
        file.write(f"{random.gauss(0.0, 1.0)!r}\n")
