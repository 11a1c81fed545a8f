"""Writes the time: no setting can hold it still."""

import time

with open("clock.txt", "w") as file:
    file.write(f"{time.time_ns()}\n")
with open("constant.txt", "w") as file:
    file.write("the same every time\n")
