"""What goes into the image: entry point, determinism settings, read-back, tracer.

Nothing in here imports the rest of the package: the files are copied into the image as they are, folders
included, and are loaded there as the package `_reprise`, so they import each other relatively. The container
starts with `entry.py`. Every interpreter in it runs `interpreter_start.py`, through the one line of
`reprise.pth`. These two, and what they load at once, lie here; the folders hold what is loaded once the job
has imported torch. `compare_torch_files.py` is not in the image: it is mounted into a container of its own.

The files run on the base's Python (3.9 or later) before the user's first line: modules that every process
loads import nothing that costs time (json, re, pathlib, hashlib), and none imports torch or numpy,
which are only looked at once the job itself has imported them.
"""
