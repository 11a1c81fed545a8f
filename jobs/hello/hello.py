"""Greets, and draws numbers that it never seeds: under Reprise the job's seed is set before it starts."""

import argparse
import json
import random
import time

parser = argparse.ArgumentParser()
parser.add_argument("--name", default="world")
parser.add_argument("--draws", type=int, default=5)
args = parser.parse_args()

numbers = []
for draw in range(1, args.draws + 1):
    numbers.append(random.random())
    print(f"draw {draw}/{args.draws}: {numbers[-1]:.6f}", flush=True)
    time.sleep(0.2)

with open("greeting.txt", "w") as file:
    file.write(f"Hello, {args.name}!\n" + "".join(f"{number!r}\n" for number in numbers))
with open("metrics.json", "w") as file:
    json.dump({"mean": sum(numbers) / len(numbers)}, file)
