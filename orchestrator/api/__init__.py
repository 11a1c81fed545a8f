"""The record in Python: `from orchestrator import api`.

    for run in api.runs(where="params.lr < 0.1", sort="-metrics.accuracy", limit=10):
        print(run.id, run.params, run.metrics)
    run = api.run("latest")
    run.series("loss"); run.open("model.pt"); run.log
    api.submit("job.yaml", params={"lr": 0.1}); api.rerun(run)

Names are the command line's. Looking writes nothing, and brings no older record to this release's form; only
`submit` and `rerun` write. Every error is a RepriseError with a message and a hint.
"""

from orchestrator.api.ask import run, runs
from orchestrator.api.launch_runs import JudgedRerun, rerun, submit
from orchestrator.api.run_handle import Curve, Run
from orchestrator.api.run_list import Runs
from orchestrator.errors import RepriseError, UsageError
from orchestrator.launch.watch import Silent, Watch

__all__ = [
    "Curve",
    "JudgedRerun",
    "RepriseError",
    "Run",
    "Runs",
    "Silent",
    "UsageError",
    "Watch",
    "rerun",
    "run",
    "runs",
    "submit",
]
