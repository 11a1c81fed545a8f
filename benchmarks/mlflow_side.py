"""MLflow's side of `history_mlflow.py`, run by the Python of a venv that has MLflow.

    mlflow_side.py TRACKING_URI < requests > answers

Each request is a line of JSON: `["search", {keywords of search_runs}]` or `["record", {}]`. Each answer is
`{"seconds": ..., "answer": ...}`. A first answer, MLflow's version, comes unasked when the schema is there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
EXPERIMENT = "0"


def record(client: Any) -> str:
    """A run with 5 parameters and 5 metrics, by as few calls as the client has for it."""
    from mlflow.entities import Metric, Param

    run = client.create_run(EXPERIMENT).info.run_id
    params = {"amp": "true", "batch": "64", "lr": "0.01", "model": "net", "optimizer": "adam"}
    metrics = ("accuracy", "epochs", "f1", "loss", "val/loss")
    client.log_batch(
        run,
        metrics=[Metric(name, 0.5, 1, 0) for name in metrics],
        params=[Param(name, value) for name, value in params.items()],
    )
    client.set_terminated(run)
    return str(run)


def main() -> None:
    import mlflow

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what MLflow prints is not an answer
    mlflow.set_tracking_uri(sys.argv[1])
    client = mlflow.MlflowClient()
    client.get_experiment(EXPERIMENT)
    answers.write(json.dumps({"seconds": 0, "answer": mlflow.__version__}) + "\n")
    for line in sys.stdin:
        what, *keywords = json.loads(line)
        start = time.perf_counter()
        if what == "search":
            answer: Any = [run.info.run_id for run in client.search_runs([EXPERIMENT], **keywords[0])]
        else:
            answer = record(client)
        answers.write(json.dumps({"seconds": time.perf_counter() - start, "answer": answer}) + "\n")


if __name__ == "__main__":
    main()
