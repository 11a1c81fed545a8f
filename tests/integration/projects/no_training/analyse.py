"""Means of measurements, with bootstrap intervals. No network, no training."""

import csv
import json
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def read():
    with open(os.path.join(HERE, "data", "measurements.csv")) as f:
        rows = list(csv.DictReader(f))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def bootstrap(values, draws=500):
    means = [np.random.choice(values, len(values)).mean() for _ in range(draws)]
    return np.percentile(means, [2.5, 97.5]).tolist()


if __name__ == "__main__":
    np.random.seed(7)
    result = {name: {"mean": values.mean(), "interval": bootstrap(values)} for name, values in read().items()}
    json.dump(result, open("result.json", "w"), indent=2)
    json.dump({name: row["mean"] for name, row in result.items()}, open("metrics.json", "w"))
    print(result, file=sys.stderr)
