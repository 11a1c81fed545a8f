"""How long it takes until a command that does nothing is back."""

from __future__ import annotations

import sys

from rounds import command, measure, report
from scratch import REPRISE, scratch


def main() -> None:
    with scratch() as room:
        words = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "docker --version": ["docker", "--version"],
            "reprise --version": [REPRISE, "--version"],
            "reprise --help": [REPRISE, "--help"],
            "reprise history (empty record)": [REPRISE, "history"],
        }
        seconds = measure({name: command(line, room.env) for name, line in words.items()}, rounds=15)
    report("startup", {"Start-up": seconds})


if __name__ == "__main__":
    main()
