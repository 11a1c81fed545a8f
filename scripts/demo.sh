#!/usr/bin/env bash
# The main job, end to end: run a job, look at its record, run it again by its digest, compare every output.
set -euo pipefail
cd "$(dirname "$0")/.."

venv="${VENV:-.venv}"
reprise="$venv/bin/reprise"
show() { printf '\n\033[1m$ reprise %s\033[0m\n' "$*"; }

show submit jobs/digits/job.yaml
"$reprise" submit jobs/digits/job.yaml

run="$("$reprise" history --job digits --status succeeded --limit 1 --json |
    "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["runs"][0]["id"])')"
digest="$("$reprise" show "$run" --json | "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["image"])')"

show show "$run"
"$reprise" show "$run"

show rerun "$digest"
"$reprise" rerun "$digest"

cat <<END

That was one digest, run twice, with equal bits. Next:
  $reprise submit jobs/digits/job.yaml -p lr=0.01      another parameter, another digest
  $reprise history                                     what was run on this box
  $reprise diff RUN RUN                                what differs between two runs
  cp -r jobs/hello jobs/mine                           your own job: put a script in, edit job.yaml
  $reprise doctor                                      what this box has, and what it lacks
END
