"""Logs of operations, which `reprise compare --operations` asks the runtime for: stored as outputs."""

from __future__ import annotations

import os
import re
from pathlib import Path

from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.run.collect.job_files import costs_that_file
from orchestrator.run.collect.output_files import BlobSink
from orchestrator.run.collect.walk_tree import open_job_file, report_names

VARIABLE = "REPRISE_LOCALISE"  # `STEP:COUNT`; the runtime reads it
FOLDER = ".reprise"  # of the outputs' paths
MAX_FILES = 64  # processes of one run
MAX_SIZE = 512 << 20  # bytes of one log; 200,000 operations make 60 MB

_NAME = re.compile(r"ops-[0-9]{1,10}\.jsonl\Z")


def read_ops(folder: Path, sink: BlobSink) -> tuple[tuple[Output, ...], tuple[str, ...]]:
    """Every log in a report folder, stored, and what could not be. Raises nothing for what a job wrote."""
    outputs: list[Output] = []
    notes: list[str] = []
    for name in report_names(folder, _NAME)[0][:MAX_FILES]:
        with costs_that_file("a log of operations was not read", notes.append):
            fd, size = open_job_file(folder, name, MAX_SIZE)
            with os.fdopen(fd, "rb") as stream:
                digest = sink.add(stream, size)
            output = Output(path=f"{FOLDER}/{name}", status=OutputStatus.KEPT, digest=digest, size=size)
            outputs.append(output)
    return tuple(outputs), tuple(notes)


def is_ops_log(output: Output) -> bool:
    folder, _, name = output.path.partition("/")
    return folder == FOLDER and _NAME.match(name) is not None and output.digest is not None
