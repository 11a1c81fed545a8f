"""All benchmarks, one after the other, never two at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = (
    "startup",
    "parameter_change",
    "code_change",
    "submit_overhead",
    "collect",
    "tensor_digest",
    "registry",
)


def main() -> int:
    here = Path(__file__).parent
    failed = [name for name in NAMES if subprocess.call([sys.executable, here / f"{name}.py"])]
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
