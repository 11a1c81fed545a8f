"""Four threads append to one list as fast as they can; the order of their turns is the scheduler's."""

import sys
import threading

THREADS, STEPS = 4, 100_000

sys.setswitchinterval(1e-5)
order = []
start = threading.Barrier(THREADS)


def work(number):
    start.wait()
    for step in range(STEPS):
        order.append((number, step))


threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

total = 0.0
for number, step in order:
    total = total * 0.999999 + (number + 1) / (step + 1)
with open("sum.txt", "w") as file:
    file.write(f"{total!r}\n")
with open("order.txt", "w") as file:
    last = None
    for turn, (number, _) in enumerate(order):
        if number != last:
            file.write(f"{turn} {number}\n")
        last = number
