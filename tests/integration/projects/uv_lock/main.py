import argparse
import json

import numpy as np
from tabulate import tabulate


def kmeans(points, k, steps, rng):
    centers = points[rng.choice(len(points), k, replace=False)]
    for _ in range(steps):
        labels = ((points[:, None] - centers) ** 2).sum(-1).argmin(1)
        centers = np.stack([points[labels == i].mean(0) if (labels == i).any() else centers[i] for i in range(k)])
    return centers, labels


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-k", type=int, default=3, help="number of clusters")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--random-seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.random_seed)
    points = rng.normal(size=(300, 2)) + rng.integers(0, 3, size=(300, 1)) * 4
    centers, labels = kmeans(points, args.k, args.steps, rng)
    print(tabulate(centers.tolist(), headers=["x", "y"]))
    np.save("centers.npy", centers)
    with open("metrics.json", "w") as f:
        json.dump({"inertia": float(((points - centers[labels]) ** 2).sum())}, f)


if __name__ == "__main__":
    main()
