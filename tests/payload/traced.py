"""`python traced.py NAME...` imports torch once, and runs each job in a forked child: a process of its own.

A line of JSON for each: its name, pid, exit code, and what it returned.
"""

import gc
import json
import os
import random
import sys
import traceback

import torch
import traced_engines  # noqa: F401 - its jobs
import traced_processes  # noqa: F401 - its jobs
from traced_jobs import JOBS


def child(name):
    """Leaves by os._exit, as multiprocessing does: the whole of an interpreter's end takes 0.8 s here."""
    torch.manual_seed(5)
    random.seed(5)
    code, result = 0, None
    try:
        result = JOBS[name]()
    except Exception:  # noqa: BLE001 - its name and code are the answer
        traceback.print_exc()
        code = 1
    print(json.dumps({"name": name, "pid": os.getpid(), "code": code, "result": result}), flush=True)
    os._exit(code)


def main():
    if os.environ.get("WITH_DYNAMO"):
        # Imported once for all children, and nothing compiled yet.
        import torch._dynamo.backends.debugging
        import torch._functorch.aot_autograd
        import torch._inductor.compile_fx  # noqa: F401
    gc.freeze()  # else each child's first collection copies all of torch's objects: 0.4 s for each job
    for name in sys.argv[1:]:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            child(name)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
