"""`python -m orchestrator.cli`: the same command, for a process that must not depend on PATH."""

from __future__ import annotations

from orchestrator.cli.main import main

if __name__ == "__main__":
    main()
