"""How long it takes until a command that does little is back: beside Python, Docker and `import sqlmodel`."""

from __future__ import annotations

import json
import sys

from rounds import command, measure, ratios, report
from scratch import REPRISE, Scratch, scratch

from orchestrator.digest import Digest

ROUNDS = 15
SCRIPT = "import json\njson.dump({'accuracy': 0.9}, open('metrics.json', 'w'))\n"


def a_run(room: Scratch) -> str:
    """One run with a metric; its id."""
    job = room.folder / "job"
    job.mkdir()
    (job / "run.py").write_text(SCRIPT)
    (job / "job.yaml").write_text("name: short\nbase: cpu\ncommand: [python3, run.py]\n")
    ran = json.loads(room.reprise("submit", "--json", "--quiet", str(job)))
    room.remove_later(Digest(ran["image"]))
    return str(ran["id"])


def main() -> None:
    with scratch() as room:
        python = [sys.executable, "-c"]
        nothing = {
            "python -c pass": [*python, "pass"],
            "docker --version": ["docker", "--version"],
            "reprise --version": [REPRISE, "--version"],
            "reprise --help": [REPRISE, "--help"],
        }
        run = a_run(room)
        asked = {
            "python -c 'import sqlmodel'": [*python, "import sqlmodel"],
            "reprise history": [REPRISE, "history"],
            "reprise show RUN": [REPRISE, "show", run],
            "reprise best JOB": [REPRISE, "best", "short", "--metric", "accuracy"],
        }
        tables = {
            title: measure({name: command(line, room.env) for name, line in words.items()}, ROUNDS)
            for title, words in (("Start-up", nothing), ("Asked all day", asked))
        }
    worst = max(list(ratios(tables["Asked all day"]).values())[1:])
    report("startup", tables, most_times_import_sqlmodel=round(worst, 2), goal=1.25)


if __name__ == "__main__":
    main()
