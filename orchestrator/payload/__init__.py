"""What goes into the image: levers, read-back, entry point. Standard library and torch only.

Nothing in here imports the rest of the package: the files are copied into the image as they are, and
loaded there as the package `_reprise` (a job may have a `runtime` of its own), so they import each other
relatively. Every interpreter of the image runs `start.py` through the one line of `reprise.pth`; the
container itself starts with `entry.py`.

They run on the base's Python (3.9 or later) before the user's first line: modules that every process
loads import nothing that costs time (json, re, pathlib, hashlib), and none imports torch or numpy,
which are only looked at once the job itself has imported them.
"""
