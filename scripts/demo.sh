#!/usr/bin/env bash
# The main job, end to end: run a job, print its record, run it again by its digest, compare every output.
set -euo pipefail
cd "$(dirname "$0")/.."

venv="${VENV:-.venv}"
reprise="$venv/bin/reprise"
bold='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
show() { printf '\n%s$ reprise %s%s\n' "$bold" "$*" "$plain"; }

show submit jobs/digits/job.yaml
"$reprise" submit jobs/digits/job.yaml

# What was just printed, as a script would ask for it.
digest="$("$reprise" history --job digits --status succeeded --limit 1 --json |
    "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["runs"][0]["image"])')"

show rerun "$digest"
"$reprise" rerun "$digest"

cat <<END

One digest, run twice, with equal bits. What next, with $venv/bin on your PATH:
  reprise submit jobs/digits/job.yaml -p lr=0.01    another parameter, another digest
  reprise history                                   what was run on this box
  reprise diff RUN RUN                              what differs between two runs
  cp -r jobs/hello jobs/mine                        your own job: put a script in, edit job.yaml
  reprise doctor                                    what this box has, and what it lacks
END
